"""Writes the changes of an engine to a store, once per turn of the loop.

What a packet depends on is written before it leaves (`write`), everything else up to `DELAY` later (`between`), so that
a flow that opens and is answered within this time is written once. The records of flows in use that the engine
does not see are refreshed in rounds, and when the store has grown, everything is written once more in slices, so
that what is older can be removed.

A store that fails is given up: the gateway goes on without it, says so once, and begins a new one later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import NamedTuple

from ipmasq.continuity.encoding import encode
from ipmasq.continuity.store import Store, StoreError
from ipmasq.core.changes import Kind, Record
from ipmasq.core.engine import Engine

DELAY = 0.05
"""Seconds until a change is written on which no packet depends."""

MAINTENANCE_EVERY, SNAPSHOT_EVERY = 0.25, 0.05
"""Seconds between two slices of a round of refreshing, and between two of a snapshot."""

SLICE = 1000
"""Flows of a slice, which takes a few milliseconds."""

ALL = 1 << 40
"""A slice of all flows."""

SMALL_EVERY = 30.0
"""Seconds between two records of what has no record of its own."""

SMALLEST, GROWTH = 4 << 20, 3
"""A snapshot is begun when more bytes were written since the last one than the first, and than the second times the
bytes of that one. What was written while it was under way does not count as its own."""

RETRY, LONGEST_RETRY = 5.0, 60.0
"""Seconds until a store that has failed is begun anew; doubled each time, up to the second."""


class Status(NamedTuple):
    """What a store does, for people."""

    is_kept: bool
    written: int
    """Records since the start."""
    size: int
    """Bytes in the store."""
    failures: int
    trouble: str
    """Why nothing is kept now; empty if all is well."""


class StateWriter:
    def __init__(
        self,
        engine: Engine,
        begin: Callable[[], Store],
        wall: Callable[[], float],
        failed: Callable[[str], object],
        recovered: Callable[[], object],
    ) -> None:
        """`begin` makes a new, empty store. `wall` is the wall clock. `failed` and `recovered` are called when the
        store cannot be written any more, and when one can be again."""
        self._engine = engine
        self._begin = begin
        self._wall = wall
        self._failed = failed
        self._recovered = recovered
        self.store: Store | None = None
        self._others: dict[str, object] = {}
        self._new_others: set[str] = set()
        self._flush_at = self._maintain_at = self._small_at = inf
        self._retry_at, self._pause, self._begun = inf, RETRY, inf
        self._sweep, self._since, self._sweep_began = 0, 0.0, 0.0
        self._is_snapshot = self._waits = False
        self._mark_source: object = None
        """Of which fast path the marks are in the rows of all flows."""
        self._is_whole = False
        """Whether the store has a record of each flow. Those that were not seen after `_since` do not lag."""
        self._snapshot_size = self._written_since = 0
        self.written = self.failures = 0
        self.trouble = ""

    # -- beginning and end

    def use(self, store: Store, now: float, goes_on: bool = False) -> None:
        """Write to this store, everything at first. `goes_on`: it has the records from which the engine was restored, so
        that this can wait until all its flows are."""
        self.store = store
        self._engine.keep_changes()
        self._new_others = set(self._others)
        self._maintain_at, self._small_at, self._retry_at = now, now + SMALL_EVERY, inf
        self._waits = goes_on and not self._engine.is_restored
        self._is_whole, self._since = goes_on, 0.0
        if self._waits:
            self._engine.mark_small()
            self._guarded(now, self.write)
        else:
            self._engine.restore_all()
            self._guarded(now, self._begin_snapshot)

    def cannot(self, text: str, now: float) -> None:
        """Note that there is no store now, and why; one is begun later."""
        self._fail(StoreError(text), now)

    def close(self, now: float, is_read_on: bool = True) -> None:
        """Write everything that lags or waits, and close the store. `is_read_on`: the counters of the fast path stay, and a
        successor reads them on from the marks in the rows. Otherwise all rows get what was read last."""
        if self.store is None:
            return
        self._engine.mark_all_but_flows()
        if not self._is_whole or self._has_other_marks:
            self._engine.mark_flows(0, ALL)
        self._engine.refresh(0, ALL, self._since if is_read_on else 0.0)
        self.write(now)
        if self.store is not None:
            self.store.close()
            self.store = None

    def compact(self, now: float) -> None:
        """Begin to write everything once more, unless that is under way, so that there is little to read at the end."""
        if self.store is not None and self._engine.is_restored and not self._is_snapshot:
            self._guarded(now, self._begin_snapshot)

    def is_compact(self, now: float) -> bool:
        """Remove a part of what `compact` has replaced. Return whether nothing of it is left."""
        if self.store is not None and self.store.has_old:
            self._guarded(now, lambda _: self.store.trim() if self.store is not None else None)
        return self.store is None or not (self._waits or self._is_snapshot or self.store.has_old)

    def go_on(self, now: float) -> None:
        """Begin a new store after `close`, with everything."""
        try:
            self.use(self._begin(), now)
        except StoreError as error:
            self._fail(error, now)

    # -- in each turn

    def set(self, name: str, row: object, now: float) -> None:
        """Keep a value of the gateway under a name, beside the records of the engine; None removes it."""
        self._others[name] = row
        self._new_others.add(name)
        self._flush_at = min(self._flush_at, now)

    def write(self, now: float, kept: Callable[[], object] | None = None) -> None:
        """Write what has changed. `kept` is called as soon as it is kept, or cannot be."""
        if self.store is None:
            if kept is not None:
                kept()
            return
        self._flush_at = inf
        records = [*self._taken(), *self._engine.changed(now)]
        self.written += len(records)
        try:
            batch = encode(now, self._wall(), records)
            self._written_since += len(batch)
            self.store.append(batch, kept)
        except (StoreError, ValueError) as error:
            self._fail(error, now)
            if kept is not None:
                kept()

    def _taken(self) -> Iterable[Record]:
        taken, self._new_others = self._new_others, set()
        return [Record(Kind.GATEWAY, name, self._others[name]) for name in sorted(taken)]

    def between(self, now: float) -> float | None:
        """Do what is due, once per round of the loop. Return when it must be called at the latest."""
        if self.store is None:
            if now >= self._retry_at:
                self._begin_anew(now)
            return None if self._retry_at == inf else self._retry_at
        if now >= self._maintain_at:
            self._guarded(now, self._maintain)
        if now >= self._flush_at:
            self.write(now)
        elif self._flush_at == inf and self._engine.has_changes:
            self._flush_at = now + DELAY
        return min(self._flush_at, self._maintain_at)

    # -- rounds

    def _maintain(self, now: float) -> None:
        assert self.store is not None
        if now >= self._small_at:
            self._engine.mark_small()
            self._small_at = now + SMALL_EVERY
        if self._is_snapshot:
            self._go_on_with_snapshot(now)
            return
        self._sweep = self._engine.refresh(self._sweep, SLICE, self._since)
        if not self._sweep:
            # What was seen since the last round began is refreshed in the next one.
            self._since, self._sweep_began = self._sweep_began, now
        self.store.trim()
        is_long = self._written_since > max(SMALLEST, GROWTH * self._snapshot_size)
        if self._engine.is_restored and (self._waits or is_long or self._has_other_marks):
            self._waits = False
            self._begin_snapshot(now)
        self._maintain_at = now + MAINTENANCE_EVERY

    @property
    def _has_other_marks(self) -> bool:
        """Whether the fast path is another one than when everything was written, so that all rows lag, seen or not."""
        return self._engine.mark_source is not self._mark_source

    def _begin_snapshot(self, now: float) -> None:
        assert self.store is not None
        self.write(now)
        if self.store is None:
            return
        self.store.begin_snapshot()
        self._engine.mark_all_but_flows()
        self._new_others = set(self._others)
        # Until its end, rows that it has not written yet have the marks of the earlier fast path.
        self._is_whole = self._is_whole and not self._has_other_marks
        self._mark_source = self._engine.mark_source
        self._is_snapshot, self._sweep, self._sweep_began = True, 0, now
        self._snapshot_size = 0
        self._go_on_with_snapshot(now)

    def _go_on_with_snapshot(self, now: float) -> None:
        self._sweep = self._engine.mark_flows(self._sweep, SLICE)
        before = self._written_since
        self.write(now)
        self._snapshot_size += self._written_since - before
        if not self._sweep and self.store is not None:
            self.store.end_snapshot()
            self._is_snapshot, self._written_since = False, 0
            self._is_whole, self._since, self._sweep_began = True, self._sweep_began, now
        self._maintain_at = now + SNAPSHOT_EVERY

    # -- failures

    def _guarded(self, now: float, work: Callable[[float], object]) -> None:
        try:
            work(now)
        except StoreError as error:
            self._fail(error, now)

    def failed(self, error: StoreError, now: float) -> None:
        """Note that the store has failed, which was found elsewhere."""
        if self.store is not None:
            self._fail(error, now)

    def _fail(self, error: Exception, now: float) -> None:
        store, self.store = self.store, None
        self._engine.keep_changes(False)
        self.failures += 1
        if now > self._begun + LONGEST_RETRY:
            self._pause = (
                RETRY  # it has lasted; one that fails at once again and again waits longer
            )
        self._retry_at, self._pause = now + self._pause, min(2 * self._pause, LONGEST_RETRY)
        if not self.trouble:
            self._failed(str(error))
        self.trouble = str(error)
        if store is not None:
            store.close()

    def _begin_anew(self, now: float) -> None:
        try:
            store = self._begin()
        except StoreError as error:
            self._fail(error, now)
            return
        self.use(store, now)
        if self.store is not None:
            self._begun, self.trouble = now, ""
            self._recovered()

    @property
    def status(self) -> Status:
        store = self.store
        size = 0 if store is None else store.size
        return Status(store is not None, self.written, size, self.failures, self.trouble)
