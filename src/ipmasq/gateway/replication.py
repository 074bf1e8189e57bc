"""Publishes what an active gateway's engine remembers, turn by turn, for the other members of its group.

Changes of a turn are one batch for each share that they concern (one, unless the group is divided). A packet that
depends on a change is held until the store has confirmed it. A snapshot is given in parts between packets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import TypeAlias

from ipmasq.continuity.batches import Part, pack
from ipmasq.continuity.delay import Delay
from ipmasq.continuity.feed import Feed
from ipmasq.core.changes import Key, Kind, Record
from ipmasq.core.engine import Engine
from ipmasq.core.side import Side
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.outbox import Leaving, Outbox, Send
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

Belongs: TypeAlias = Callable[[Key], bool]
"""Whether a thing that there is now belongs to a share."""


class Replication:
    """The records of one share."""

    def __init__(
        self,
        publisher: Publisher,
        feed: Feed,
        wait: float,
        after: float,
        belongs: Belongs,
        inherited: int | None = None,
    ) -> None:
        """`inherited`: see `Delay`."""
        self.feed = feed
        self.outbox = Outbox(publisher.loop, wait)
        self._publisher, self._belongs = publisher, belongs
        self._delay, self._after = Delay(after, inherited), after
        self._snapshot: Iterator[Key] | None = None
        self._ended = False

    def number_anew(self) -> None:
        """Tell that what comes has other numbers than what is in the stream."""
        self.feed.append(Part.ANEW, pack(Part.ANEW))

    def end(self) -> int:
        """Write what has changed, and give no more. Return the ticket of that."""
        now = self._publisher.loop.clock()
        self._publisher.collect(now)
        ticket = self.write((), now + self._after)
        self._ended = True
        self._publisher.remove(self)
        self.outbox.clear()
        return ticket

    def write(self, changed: Iterable[Record], now: float) -> int:
        """Write those records of what has changed that are of this share. Return the ticket, or 0 if nothing was
        written."""
        # What is gone may have been of this share: `Delay` knows whether it was written.
        own = [each for each in changed if each.row is None or self._belongs(each[:2])]
        records = self._delay.choose(own, now)
        return self.feed.append(Part.CHANGES, pack(Part.CHANGES, records)) if records else 0

    @property
    def next(self) -> float | None:
        return self._delay.next

    def begin_snapshot_if_wanted(self) -> None:
        feed = self.feed
        if not self._publisher.is_restored:
            return  # the stream goes on with what it has: see ADR 32
        long = feed.written > max(LEAST_WRITTEN, 2 * feed.snapshot_size)
        if self._snapshot is not None or feed.trouble or not (feed.wants_snapshot or long):
            return
        feed.wants_snapshot = False
        self._snapshot = filter(self._belongs, self._publisher.keys())
        feed.append(Part.BEGIN, pack(Part.BEGIN))
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
                self._delay.inherited = None
                return
            records = self._publisher.present(keys)
            self._delay.note(records)
            self.feed.append(Part.PART, pack(Part.PART, records))
        self._publisher.loop.later(PART_PAUSE, self._go_on)


class Publisher:
    """Asks the engine for what has changed, and gives each share its records."""

    def __init__(self, engine: Engine, loop: Loop) -> None:
        self.loop = loop
        self.unwritten = 0
        """Packets that left although what they depend on was dropped: the store could not be used."""
        self._engine = engine
        self._replications: list[Replication] = []
        self._others: dict[str, object] = {}
        self._new_others: set[str] = set()
        self._refreshed, self._since, self._round = 0, 0.0, 0.0
        self._refreshes = False

    def add(self, replication: Replication) -> None:
        if not self._replications:
            self._engine.keep_changes()
            self._round, self._refreshed = self.loop.clock(), 0
            if not self._refreshes:
                self._refreshes = True
                self.loop.later(REFRESH_EVERY, self._refresh)
        else:
            self.collect(self.loop.clock())
        self._replications.append(replication)
        replication.feed.start()

    def remove(self, replication: Replication) -> None:
        if replication in self._replications:
            self._replications.remove(replication)
        if not self._replications:
            self._engine.keep_changes(False)

    @property
    def is_restored(self) -> bool:
        """Whether all flows of an earlier active member are restored."""
        return self._engine.is_restored

    def mark(self, keys: Iterable[Key]) -> None:
        """Write the records of these things as they are now."""
        for key in keys:
            _mark(self._engine, key)

    def set(self, name: str, row: object) -> None:
        """Publish a value that does not belong to the engine but to the gateway, by its name; None: no more."""
        self._others[name] = row
        self._new_others.add(name)

    def turn(self, now: float) -> float | None:
        """Write what has changed in this turn of the loop. Return when there will be more."""
        if not self._replications:
            return None
        self.collect(now)
        for each in self._replications:
            each.begin_snapshot_if_wanted()
        return min(
            (at for each in self._replications if (at := each.next) is not None), default=None
        )

    def write_ahead(self, packets: Sequence[Leaving]) -> bool:
        """Hold packets if they depend on what has changed: see `ipmasq.gateway.drive.WriteAhead`."""
        if not self._engine.has_dependent_changes:
            return False
        written = self.collect(self.loop.clock())
        if not packets:
            return True
        if not written:
            for each in self._replications:
                if each.feed.trouble:
                    each.outbox.give_up()  # earlier ones leave earlier
            self.unwritten += len(packets)
            return False
        for replication, ticket in written[1:]:
            hold = partial(_hold, replication.outbox, ticket)
            packets = [each._replace(send=partial(hold, each.send)) for each in packets]
        replication, ticket = written[0]
        replication.outbox.hold(ticket, packets)
        return True

    def collect(self, now: float) -> list[tuple[Replication, int]]:
        """Give each share what has changed. Return those that have written something, with their tickets."""
        records = self._changed(now)
        tickets = [(each, each.write(records, now)) for each in self._replications]
        return [each for each in tickets if each[1]]

    def _changed(self, now: float) -> list[Record]:
        taken, self._new_others = self._new_others, set()
        others = [Record(Kind.GATEWAY, name, self._others[name]) for name in sorted(taken)]
        if self._engine.has_changes:
            return [*others, *self._engine.changed(now)]
        return others

    # -- snapshots

    def keys(self) -> Iterator[Key]:
        """Return the keys of all that there is."""
        manager = self._engine.manager
        mappings = manager.table.mappings
        return chain(
            [(Kind.REST, 0)],
            [(Kind.GATEWAY, name) for name in self._others],
            [(Kind.POOL, pool.number) for pool in mappings.numbered],
            [(Kind.MAPPING, each.number) for each in mappings],
            [(Kind.FLOW, number) for number in manager.table.numbers()],
            [(Kind.EXPECTATION, each.number) for each in manager.expectations],
            [(Kind.TRIGGER, name) for name in manager.admission.active_triggers],
            [(Kind.DATAGRAM, each.number) for each in manager.reassembly],
        )

    def present(self, keys: Sequence[Key]) -> list[Record]:
        """Return the records of things as they are now; what has changed meanwhile is written before."""
        now = self.loop.clock()
        self.collect(now)
        self.mark(keys)
        names = [str(name) for kind, name in keys if kind == Kind.GATEWAY]
        others = [Record(Kind.GATEWAY, name, self._others[name]) for name in names]
        return [*others, *self._engine.changed(now)]

    def _refresh(self) -> None:
        """Write flows again of which there are newer packets than their records know."""
        self._refreshes = bool(self._replications)
        if not self._refreshes:
            return
        if not self._refreshed:
            self._since, self._round = self._round, self.loop.clock()
            self._engine.manager.changes.refreshed_from = self._round
        self._refreshed = self._engine.refresh(self._refreshed, REFRESHED, self._since)
        self.loop.later(REFRESH_EVERY, self._refresh)


def _hold(outbox: Outbox, ticket: int, send: Send, packet: Packet, side: Side) -> None:
    outbox.hold(ticket, (Leaving(send, packet, side),))


def _mark(engine: Engine, key: Key) -> None:
    """Mark a thing as changed."""
    changes, (kind, name) = engine.manager.changes, key
    if kind == Kind.REST:
        changes.all_small()
    elif kind == Kind.MAPPING:
        changes.mapping(int(name))
    elif kind == Kind.FLOW:
        changes.flow(int(name))
    elif kind != Kind.GATEWAY:
        changes.other(Kind(kind), name)


def of_share(engine: Engine, name: str) -> Belongs:
    """Return what says whether a thing belongs to a share of the policy; everything does if there are none."""
    if not name:
        return lambda key: True
    return partial(_is_of, engine, name)


def _is_of(engine: Engine, name: str, key: Key) -> bool:
    manager, (kind, number) = engine.manager, key
    share = next(each for each in engine.policy.shares if each.name == name)
    if kind in (Kind.REST, Kind.GATEWAY):
        return True
    if kind in (Kind.POOL, Kind.MAPPING):
        pool = int(number) if kind == Kind.POOL else int(number) >> 16
        return manager.table.mappings.numbered[pool].address in share.public
    if kind == Kind.TRIGGER:
        trigger = manager.admission.active_triggers.get(str(number))
        return trigger is not None and engine.policy.share_of(trigger.host) == share
    if kind == Kind.EXPECTATION:
        expected = manager.expectations.numbered.get(int(number))
        flow = None if expected is None else expected.flow
    else:
        flow = manager.table.flow(int(number)) if kind == Kind.FLOW else None
    if flow is None or flow.endpoints.public.address not in share.public:
        return False
    # A flow between hosts of two shares ends with either of them.
    server = flow.server_mapping
    return server is None or server.pool.address in share.public
