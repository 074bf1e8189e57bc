"""Publishes what an active gateway's engine remembers, turn by turn, for the other members of its group.

Changes of a turn are one batch. A packet that depends on a change is held until the store has confirmed it. A snapshot
is given in parts between packets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from ipmasq.continuity.batches import Part, pack
from ipmasq.continuity.delay import Delay
from ipmasq.continuity.feed import Feed
from ipmasq.core.changes import Key, Kind
from ipmasq.core.engine import Engine
from ipmasq.core.side import Side
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.outbox import Outbox, Send
from ipmasq.wire.packet import Packet

PART = 256
"""Things in one part of a snapshot, which takes about a millisecond."""

PART_PAUSE = 0.002
"""Seconds between two parts."""

ENOUGH_WAITING = 4 << 20
"""Bytes that wait for the store, from which on the next part of a snapshot waits, too."""

LEAST_WRITTEN = 4 << 20
"""Bytes of changes after which there is another snapshot, so that the stream stays short; more if the snapshot
itself is large."""

REFRESH_EVERY = 0.1
REFRESHED = 500
"""Flows that are looked at every time, so that a million take some minutes."""


class Replication:
    def __init__(self, engine: Engine, feed: Feed, loop: Loop, wait: float, after: float) -> None:
        self.feed = feed
        self.outbox = Outbox(loop, wait)
        self.unwritten = 0
        """Packets that left although what they depend on was dropped: the store could not be used."""
        self._engine, self._loop = engine, loop
        self._delay = Delay(after)
        self._after = after
        self._snapshot: Iterator[Key] | None = None
        self._refreshed, self._since, self._round = 0, 0.0, loop.clock()
        self._ended = False

    def begin(self) -> None:
        self._engine.keep_changes()
        self._engine.changed(self._loop.clock())
        self.feed.start()
        self._refresh()

    def end(self) -> int:
        """Write what has changed, and give no more. Return the ticket of that."""
        ticket = self._write(self._loop.clock(), everything=True)
        self._ended = True
        self.outbox.clear()
        return ticket

    def turn(self, now: float) -> float | None:
        """Write what has changed in this turn of the loop. Return when there will be more."""
        if self._ended:
            return None
        self._write(now)
        if self._wants_snapshot() and self._snapshot is None:
            self._begin_snapshot()
        return self._delay.next

    def write_ahead(self, packets: Sequence[Packet], side: Side, send: Send) -> bool:
        """Hold packets if they depend on what has changed: see `ipmasq.gateway.drive.WriteAhead`."""
        if not self._engine.has_dependent_changes:
            return False
        ticket = self._write(self._loop.clock())
        if not packets:
            return True
        if not ticket:
            self.unwritten += len(packets)
            return False
        self.outbox.hold(ticket, send, packets, side)
        return True

    def _write(self, now: float, everything: bool = False) -> int:
        """Return the ticket, or 0 if nothing was written."""
        changed = [] if self._engine.manager.changes.is_empty() else self._engine.changed(now)
        records = self._delay.choose(changed, now + self._after if everything else now)
        return self.feed.append(Part.CHANGES, pack(Part.CHANGES, records)) if records else 0

    # -- snapshots

    def _wants_snapshot(self) -> bool:
        feed = self.feed
        long = feed.written > max(LEAST_WRITTEN, 2 * feed.snapshot_size)
        return not feed.trouble and (feed.wants_snapshot or long)

    def _begin_snapshot(self) -> None:
        self.feed.wants_snapshot = False
        self._snapshot = _keys(self._engine)
        self.feed.append(Part.BEGIN, pack(Part.BEGIN))
        self._go_on()

    def _go_on(self) -> None:
        """Give the next part, and come back for the one after it."""
        if self._snapshot is None or self._ended:
            return
        if self.feed.trouble or self.feed.wants_snapshot:
            self._snapshot = None  # it has a gap; another one follows
            return
        if self.feed.waiting < ENOUGH_WAITING:
            keys = list(islice(self._snapshot, PART))
            if not keys:
                self._snapshot = None
                self.feed.append(Part.END, pack(Part.END))
                return
            self._give(keys)
        self._loop.later(PART_PAUSE, self._go_on)

    def _give(self, keys: Sequence[Key]) -> None:
        """Give things as they are now, with what has changed meanwhile."""
        for key in keys:
            _mark(self._engine, key)
        records = self._engine.changed(self._loop.clock())
        self._delay.note(records)
        self.feed.append(Part.PART, pack(Part.PART, records))

    def _refresh(self) -> None:
        """Write flows again of which there are newer packets than their records know."""
        if self._ended:
            return
        if not self._refreshed:
            self._since, self._round = self._round, self._loop.clock()
        self._refreshed = self._engine.refresh(self._refreshed, REFRESHED, self._since)
        self._loop.later(REFRESH_EVERY, self._refresh)


def _keys(engine: Engine) -> Iterator[Key]:
    """Return the keys of all that an engine remembers."""
    manager = engine.manager
    mappings = manager.table.mappings
    return chain(
        [(Kind.REST, 0)],
        [(Kind.POOL, pool.number) for pool in mappings.numbered],
        [(Kind.MAPPING, each.number) for each in mappings],
        [(Kind.FLOW, number) for number in manager.table.flows],
        [(Kind.EXPECTATION, each.number) for each in manager.expectations],
        [(Kind.TRIGGER, name) for name in manager.admission.active_triggers],
        [(Kind.DATAGRAM, each.number) for each in manager.reassembly],
    )


def _mark(engine: Engine, key: Key) -> None:
    """Mark a thing as changed."""
    changes, (kind, name) = engine.manager.changes, key
    if kind == Kind.REST:
        changes.all_small()
    elif kind == Kind.MAPPING:
        changes.mapping(int(name))
    elif kind == Kind.FLOW:
        changes.flow(int(name))
    else:
        changes.other(Kind(kind), name)
