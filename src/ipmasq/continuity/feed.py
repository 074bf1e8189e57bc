"""The active member's side of replication: appends batches to the group's stream, in a thread of its own.

The loop never waits here. It gives a batch and gets a ticket; `acknowledged` is the highest ticket that the store
has confirmed. If the store cannot be used, batches are dropped, not kept: after that the standby needs
everything once more, so `wants_snapshot` is set as soon as the store answers again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ipmasq.continuity.authentic import Entry, Seal
from ipmasq.continuity.batches import Part
from ipmasq.continuity.lease import key
from ipmasq.continuity.server import Client, Connect, is_usable_after, told
from ipmasq.continuity.worker import Worker

MOST_WAITING = 32 << 20
"""Bytes that may wait for the store. If there are more, all are dropped, and a snapshot follows."""

AT_ONCE = 256
"""Entries in one pipeline."""

PATIENCE = 2.0
"""Seconds for one pipeline. Packets wait for less: `ha.wait`."""

IDLE = 0.5
"""Seconds between two looks at the store without a batch."""

FIRST_RETRY, LAST_RETRY = 0.1, 5.0
"""Seconds before the first attempt to use a store again that has failed; doubled up to the last."""

TRIM = """
if tonumber(redis.call('GET', KEYS[2]) or '0') > tonumber(ARGV[2]) then return 0 end
if ARGV[1] == '' then return redis.call('UNLINK', KEYS[1]) end
return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
"""
"""Removes what precedes an entry, or everything, unless there is a lease of a higher generation."""


LOST = """
if tonumber(redis.call('GET', KEYS[2]) or '0') > tonumber(ARGV[2]) then return 0 end
return #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 and 1 or 0
"""
"""Whether an entry is missing, unless there is a lease of a higher generation."""


class _Waiting(NamedTuple):
    ticket: int
    part: Part
    payload: bytes


class Feed:
    def __init__(
        self,
        connect: Connect,
        seal: Seal,
        group: str,
        member: str,
        generation: int,
        changed: Callable[[], object],
    ) -> None:
        """`changed` is called from the thread when a batch is acknowledged, or a property has changed."""
        self.acknowledged = 0
        self.wants_snapshot = True
        """Whether a snapshot is to be given now. Set to False by whoever begins to give it."""
        self.trouble = ""
        """Why the store cannot be used, in a sentence."""
        self.dropped = 0
        """Batches that the standby did not get; a snapshot has replaced them, or will."""
        self.written = 0
        """Bytes that were written since the latest whole snapshot."""
        self.snapshot_size = 0
        """Bytes of that snapshot, with what has changed meanwhile."""
        self._connect, self._seal, self._changed = connect, seal, changed
        self._stream, self._last = key(group, "stream"), key(group, "generation")
        self._member, self._generation = member, generation
        self._client: Client | None = None
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._tickets = self._number = 0
        self._begun = b""
        """The entry with which the latest snapshot begins."""
        self._pause = FIRST_RETRY
        self._worker = Worker("replication", self.step)

    def start(self) -> None:
        self._worker.start()

    def close(self) -> None:
        """Write what is waiting, for a short time, and end."""
        self._worker.end(PATIENCE)
        if self._queue and not self.trouble:
            self.step()

    def abandon(self) -> None:
        """End without waiting for the store."""
        self._worker.end(0)

    @property
    def waiting(self) -> int:
        """The bytes that wait to be written."""
        return self._bytes

    def append(self, part: Part, payload: bytes) -> int:
        """Give a batch (see `pack`). Return its ticket, or 0 if it was dropped."""
        if self.trouble or self._bytes + len(payload) > MOST_WAITING:
            self.dropped += 1
            if not self.trouble:
                self.wants_snapshot = True
            return 0
        self._tickets += 1
        self._bytes += len(payload)
        self._queue.append(_Waiting(self._tickets, part, payload))
        self._worker.wake()
        return self._tickets

    def step(self) -> float:
        """Write what is waiting. Return the seconds until the next step. Never raises."""
        try:
            if self._client is None:
                self._client = self._connect(PATIENCE)
            if self.trouble:
                self._begin_again(self._client)
            if not self._queue:
                self._look(self._client)
            while self._queue:
                self._write(self._client)
        except Exception as error:
            return self._give_up(error)
        return IDLE

    def _begin_again(self, client: Client) -> None:
        """What is in the stream has a gap after it, so it makes room for the snapshot."""
        client.eval(TRIM, 2, self._stream, self._last, "", str(self._generation))
        self.trouble, self.wants_snapshot = "", True
        self._changed()

    def _look(self, client: Client) -> None:
        """Want a snapshot if the store has lost the latest one, as when it was restarted: whoever has nothing to write would
        not notice. Raises what the library raises, if the store has gone or is another one now."""
        if not self._begun:
            client.get(self._last)
            return
        begun, generation = self._begun.decode(), str(self._generation)
        if client.eval(LOST, 2, self._stream, self._last, begun, generation):
            self._begun, self.wants_snapshot = b"", True
            self._changed()

    def _write(self, client: Client) -> None:
        waiting = [self._queue.popleft() for _ in range(min(AT_ONCE, len(self._queue)))]
        size = sum(len(each.payload) for each in waiting)
        self._bytes -= size
        pipeline = client.pipeline(transaction=False)
        for each in waiting:
            self._number += 1
            entry = Entry(self._member, self._generation, self._number, each.payload)
            pipeline.xadd(self._stream, {"e": self._seal.write(entry)})
        written = pipeline.execute()
        self.written += size
        self._pause = FIRST_RETRY
        self.acknowledged = waiting[-1].ticket
        self._changed()
        for each, entry_id in zip(waiting, written, strict=True):
            if each.part is not Part.CHANGES:
                self._follow_snapshot(client, each.part, entry_id)

    def _follow_snapshot(self, client: Client, part: Part, entry_id: bytes) -> None:
        if part is Part.BEGIN:
            self._begun, self.written = entry_id, 0
        elif part is Part.END and self._begun:
            begun = self._begun.decode()
            client.eval(TRIM, 2, self._stream, self._last, begun, str(self._generation))
            self.snapshot_size = self.written

    def _give_up(self, error: Exception) -> float:
        """Drop what is waiting. Return the seconds until the next attempt."""
        self.trouble = str(told(error))
        if self._client is not None and not is_usable_after(error):
            self._client.close()
            self._client = None
        self.dropped += len(self._queue) + 1
        self._queue.clear()
        self._bytes = 0
        self._begun = b""
        self._changed()
        pause, self._pause = self._pause, min(2 * self._pause, LAST_RETRY)
        return pause
