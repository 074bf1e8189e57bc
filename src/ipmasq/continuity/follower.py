"""The standby's side of replication: follows the group's stream, and holds the last record of each thing ready."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import inf
from typing import Any

from ipmasq.continuity.authentic import Refusal, RefusedError, Seal, Sequence
from ipmasq.continuity.batches import Batch, DamagedError, Part, unpack
from ipmasq.continuity.held import Held
from ipmasq.continuity.lease import key
from ipmasq.continuity.server import Client, Connect, is_usable_after, told
from ipmasq.continuity.worker import Worker

PATIENCE = 1.0
BLOCK, BRIEFLY = 200, 10
"""Milliseconds for which the store holds a question until there is something new; the latter when a takeover is
expected."""

AT_ONCE = 512
"""Entries in one answer."""

RETRY, LAST_RETRY = 0.1, 1.0
"""Seconds before the first attempt to use a store again that has failed; doubled up to the last."""

FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0
"""The least seconds between two attempts to read the whole stream, since a whole snapshot is missing: doubled up to the
last, until a record comes that is of use. With another key than the group's, none does."""

TIME_EVERY = 1.0
"""Seconds between two comparisons of the clocks, and of the place in the stream with its end."""


class Follower:
    def __init__(
        self,
        connect: Connect,
        seal: Seal,
        group: str,
        clock: Callable[[], float],
        changed: Callable[[], object],
        known: int = 0,
    ) -> None:
        """Entries of generations below `known` are refused. `changed` is called from the thread when records
        are refused, the trouble changes, or the stream has been read to its end after `finish`; and once more if
        then `is_read` has to be answered by `index`."""
        self.held = Held()
        """The records; only to be used after the thread has ended."""
        self.is_complete = False
        """Whether a whole snapshot and all that followed it were read."""
        self.trouble = ""
        self.entries = 0
        self.hurries = False
        """Whether `finish` is expected soon."""
        self.sequence = Sequence(generation=known)
        self._connect, self._seal, self._group = connect, seal, group
        self._clock, self._changed = clock, changed
        self._client: Client | None = None
        self._stream, self._last = key(group, "stream"), "0"
        self._fresh: Held | None = None
        """What a snapshot has brought that is not whole yet."""
        self._is_renumbered = False
        """Whether changes have other numbers than what is in `held`."""
        self._offset = 0.0
        """What to add to the store's time to get that of `clock`."""
        self._compared = self._rewound = self._current = -inf
        self._pause, self._retry = FIRST_PAUSE, RETRY
        self._rereads = False
        """Whether entries are read that may have been read before."""
        self._seen: tuple[int, ...] = (0,)
        """The id up to which all entries were read before the present attempt."""
        self._finishes = False
        self._asked = self._answered = 0
        """How often `finish` was called, and the last call since which the stream was read to its end."""
        self._waits = self._indexed = 0
        """The last call for which it waits for `index`, and the last one for which that was called."""
        self._worker = Worker("following", self.step)

    def start(self) -> None:
        self._worker.start()

    def close(self) -> None:
        self._worker.end(PATIENCE + 1)

    def finish(self) -> None:
        """Read what is in the stream by now, and stop to read (`is_finished`). If the store does not answer,
        there is nothing more to read. Who has followed for so short a time that nothing is indexed yet (see `Held.defer`)
        says so (`is_read`) and waits for `index`."""
        self._asked += 1
        self._finishes = True
        self._worker.wake()

    def go_on(self) -> None:
        """Follow again after `finish`."""
        self._finishes = False
        self._worker.wake()

    @property
    def is_read(self) -> bool:
        """Whether everything is read, and nothing indexed: the caller may use `held.newest`, and then calls `index`."""
        return self._finishes and self._waits == self._asked != self._indexed

    def index(self) -> None:
        """Index what was read, and then be finished."""
        self._indexed = self._asked
        self._worker.wake()

    @property
    def is_finished(self) -> bool:
        return self._finishes and self._answered == self._asked

    @property
    def refused(self) -> Counter[Refusal]:
        return self.sequence.refused

    @property
    def generation(self) -> int:
        return self.sequence.generation

    def lag(self) -> float:
        """Return the seconds since it has last read to the end of the stream."""
        return self._clock() - self._current

    def step(self) -> float:
        """Read and apply what is new. Return the seconds until the next step. Never raises."""
        if self.is_finished or self.is_read:
            return BLOCK / 1000
        asked = self._asked
        try:
            if self._client is None:
                self._client = self._connect(PATIENCE)
                self._rewind()
            self._compare(self._client)
            entries = self._read(self._client)
            self._set_trouble("")
        except Exception as error:
            self._set_trouble(str(told(error)))
            if self._client is not None and not is_usable_after(error):
                self._client.close()
                self._client = None
            self._finish_if_asked(asked)
            pause, self._retry = self._retry, min(2 * self._retry, LAST_RETRY)
            return pause
        self._retry = RETRY
        self._take(entries, asked)
        return 0.0

    def _take(self, entries: list[tuple[bytes, dict[bytes, bytes]]], asked: int) -> None:
        for entry_id, fields in entries:
            self._last = entry_id.decode()
            is_new = not self._rereads or _number(entry_id) > self._seen
            self._admit(fields.get(b"e", b""), entry_id, is_new)
        self.held.settle()
        if len(entries) < AT_ONCE:
            self._current = self._clock()
            self._rereads = False
            if not self._finishes:
                self._index()
        if not entries:
            self._finish_if_asked(asked)
            if not self.is_complete and self._clock() - self._rewound > self._pause:
                self._pause = min(2 * self._pause, LAST_PAUSE)
                self._rewind()

    def _index(self) -> None:
        for each in self.held, self._fresh:
            if each is not None:
                each.index()

    def _finish_if_asked(self, asked: int) -> None:
        """`asked`: how often `finish` was called before this step. There may be more in the stream if it was called since."""
        if not self._finishes or asked != self._asked:
            return
        if self.held.is_deferred and self.is_complete and self._indexed != asked:
            self._waits = asked
        else:
            self._index()
            self._answered = asked
        self._changed()

    def _set_trouble(self, trouble: str) -> None:
        before, self.trouble = self.trouble, trouble
        if trouble != before:
            self._changed()

    def _rewind(self) -> None:
        """Read the whole stream again, which begins with a snapshot. The records stay until that is whole."""
        self._seen = max(self._seen, _number(self._last.encode()))
        self._last, self._rewound = "0", self._clock()
        self._fresh, self._rereads = None, True
        self.is_complete = False
        self.sequence.rewind()

    def _compare(self, client: Client) -> None:
        now = self._clock()
        if now - self._compared < TIME_EVERY:
            return
        self._compared = now
        seconds, micros = client.time()
        # From the clock after the answer: if that came late, flows seem younger than they are, and none ends early.
        self._offset = self._clock() - (seconds + micros / 1e6)
        newest = client.xrevrange(self._stream, count=1)
        if newest and _number(newest[0][0]) < _number(self._last.encode()):
            self._rewind()  # the stream has begun anew, below where this member has read
            self._seen = (0,)

    def _read(self, client: Client) -> list[tuple[bytes, dict[bytes, bytes]]]:
        block = None if self._finishes else BRIEFLY if self.hurries else BLOCK
        found: Any = client.xread({self._stream: self._last}, count=AT_ONCE, block=block)
        entries = [entry for _, entries in found for entry in entries]
        for entry_id, _ in entries:
            _number(entry_id)  # so that a store that says nonsense is one that cannot be used
        return entries

    # -- entries

    def _admit(self, data: bytes, entry_id: bytes, is_new: bool) -> None:
        try:
            entry = self._seal.read(data)
            if self._rereads and entry.generation < self.sequence.generation:
                return  # what an earlier holder has written
            before, follows = self.sequence.generation, self.sequence.admit(entry)
            if entry.generation != before:
                # Another writer goes on with what there was before an unfinished snapshot.
                self._fresh, self._is_renumbered = None, False
            batch = _batch(entry.payload)
        except RefusedError as error:
            if is_new:
                self.refused[error.refusal] += 1
                self._changed()
            return
        if is_new:
            self._pause = FIRST_PAUSE
        moment = min(self._offset + int(entry_id.partition(b"-")[0]) / 1000, self._clock())
        if not follows and batch.part is not Part.BEGIN:
            self._fresh, self.is_complete = None, False
        self._apply(batch, moment)
        self.entries += 1

    def _apply(self, batch: Batch, moment: float) -> None:
        if batch.part is Part.BEGIN:
            self._fresh = Held() if self.held else self.held
            if self._rereads:
                self._fresh.defer()
        elif batch.part is Part.ANEW:
            self._is_renumbered = True
        if self._fresh is not None:
            self._fresh.apply(batch.changed, moment)
        if self._fresh is not self.held and not self._is_renumbered:
            self.held.apply(batch.changed, moment)
        if batch.part is Part.END and self._fresh is not None:
            self.held, self._fresh, self.is_complete = self._fresh, None, True
            self._is_renumbered = False


def _number(entry_id: bytes) -> tuple[int, ...]:
    """Return the id of an entry as numbers that can be compared."""
    return tuple(map(int, entry_id.split(b"-")))


def _batch(payload: bytes) -> Batch:
    try:
        return unpack(payload)
    except DamagedError as error:
        raise RefusedError(Refusal.DAMAGED) from error
