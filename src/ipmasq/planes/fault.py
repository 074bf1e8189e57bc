"""Injects faults: a plane around another plane that loses, duplicates, delays and corrupts packets.

Faults happen to packets as they arrive, before the engine sees them (and one to those that leave). A delayed
packet is copied (the plane's buffer is reused) and arrives after a later packet of either side, or by a
descriptor of its own that becomes readable when it is due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from random import Random

from ipmasq.core.policy import Claim
from ipmasq.core.side import Side
from ipmasq.planes.alarm import Alarm
from ipmasq.planes.plane import LivePlane
from ipmasq.wire import partial
from ipmasq.wire.addresses import Address
from ipmasq.wire.packet import Packet


@dataclass(frozen=True, slots=True)
class Faults:
    """The probability of each fault for packets of one side, 0 to 1, tried in this order.

    A delayed packet arrives after 1 to `delay_packets` further packets of its side, or once 0 to
    `delay_seconds` have passed, whichever is sooner (0 seconds: packets alone count).
    """

    loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.0
    corruption: float = 0.0
    loss_after: float = 0.0
    """The loss of packets that the engine sends because of such a packet."""
    delay_packets: int = 3
    delay_seconds: float = 0.0


@dataclass(slots=True)
class Tally:
    """Counts the faults of packets of one side."""

    seen: int = 0
    lost: int = 0
    duplicated: int = 0
    delayed: int = 0
    corrupted: int = 0


@dataclass(slots=True, eq=False)
class _Delayed:
    packet: Packet
    side: Side
    turn: int
    """It arrives with, or after, this packet of its side."""
    due: float
    """Or at this time."""


NO_FAULTS = Faults()


class FaultPlane:
    """A LivePlane. `clock` gives seconds that never decrease; the same seed of `chance` gives the same
    faults. `faults` may be replaced at any time."""

    def __init__(
        self,
        plane: LivePlane,
        faults: Mapping[Side, Faults],
        chance: Random,
        clock: Callable[[], float],
    ) -> None:
        self.ttl_delta = plane.ttl_delta
        self.faults = faults
        self.tallies = {side: Tally() for side in Side}
        self._plane = plane
        self._chance = chance
        self._clock = clock
        self._delayed: list[_Delayed] = []
        self._arrived: deque[tuple[Packet, Side]] = deque()
        """The latest packet of the plane, if it arrives now, its copies, and delayed ones that are due."""
        self._alarm: Alarm | None = None

    def open(self) -> None:
        self._plane.open()
        self._alarm = Alarm()

    def close(self) -> None:
        self._delayed.clear()
        self._arrived.clear()
        self._plane.close()
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.close()

    def descriptors(self) -> Sequence[int]:
        own = (self._alarm.fileno(),) if self._alarm is not None else ()
        return (*self._plane.descriptors(), *own)

    def claim(self, claims: Sequence[Claim], silent: Collection[Address] = ()) -> None:
        self._plane.claim(claims, silent)

    def receive(self, descriptor: int) -> tuple[Packet, Side] | None:
        assert self._alarm is not None
        if descriptor == self._alarm.fileno():
            self._arrived.extend(self._due())
        else:
            self._arrive(descriptor)
        packet = self._arrived.popleft() if self._arrived else None
        self._set(self._alarm)
        return packet

    def _arrive(self, descriptor: int) -> None:
        """Let the plane's packets arrive until there is one to be received, or none waits."""
        while not self._arrived and (came := self._plane.receive(descriptor)) is not None:
            self._arrived.extend((each, came[1]) for each in self._befall(*came))
            self._arrived.extend(self._due())

    def _set(self, alarm: Alarm) -> None:
        """Set the alarm for the next delayed packet."""
        now = self._clock()
        due = now if self._arrived else min((each.due for each in self._delayed), default=inf)
        alarm.set(max(0.0, due - now))

    def send(self, packet: Packet, side: Side) -> None:
        if not self._happens(self.faults.get(side, NO_FAULTS).loss_after):
            self._plane.send(packet, side)

    def hand_back(self, packet: Packet, side: Side) -> None:
        if not self._happens(self.faults.get(side, NO_FAULTS).loss_after):
            self._plane.hand_back(packet, side)

    def _befall(self, packet: Packet, side: Side) -> list[Packet]:
        """Apply the faults to an arriving packet. Return what arrives now."""
        faults, tally = self.faults.get(side, NO_FAULTS), self.tallies[side]
        tally.seen += 1
        if self._happens(faults.loss):
            tally.lost += 1
            return []
        packets = [packet]
        if self._happens(faults.duplication):
            tally.duplicated += 1
            packets.append(_copy(packet))
        if self._happens(faults.delay):
            tally.delayed += 1
            self._delay(_copy(packets.pop()), side, faults)
        if packets and self._happens(faults.corruption):
            tally.corrupted += 1
            packets[:1] = self._corrupted(packets[0])
        return packets

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._chance.random() < probability

    def _delay(self, packet: Packet, side: Side, faults: Faults) -> None:
        turn = self.tallies[side].seen + self._chance.randint(1, max(1, faults.delay_packets))
        due = inf
        if faults.delay_seconds:
            due = self._clock() + self._chance.uniform(0, faults.delay_seconds)
        self._delayed.append(_Delayed(packet, side, turn, due))

    def _due(self) -> list[tuple[Packet, Side]]:
        """Return the delayed packets that are due."""
        if not self._delayed:
            return []
        now = self._clock()
        due = [d for d in self._delayed if d.turn <= self.tallies[d.side].seen or d.due <= now]
        self._delayed = [d for d in self._delayed if d not in due]
        return [(each.packet, each.side) for each in due]

    def _corrupted(self, packet: Packet) -> list[Packet]:
        """Return the packet with one bit inverted behind its IP header.

        An unfinished checksum would be computed over the damage, so it is finished first. A packet that is to
        be cut into segments is lost instead, as each of them would be.
        """
        if packet.segment:
            return []
        copy = _copy(packet)
        if copy.partial:
            partial.complete(copy.data)
            copy.partial = False
        start = (copy.data[0] & 0x0F) * 4 if copy.data else 0
        if start < len(copy.data):
            at = self._chance.randrange(start, len(copy.data))
            copy.data[at] ^= 1 << self._chance.randrange(8)
        return [copy]


def _copy(packet: Packet) -> Packet:
    """Copy the packet, since its buffer is reused for the next one."""
    return Packet(bytearray(packet.data), packet.partial, packet.segment, packet.note)
