"""One direction of an inspected TCP connection: the bytes as they were sent, and as they are forwarded.

Theory of operation
-------------------
A *position* counts bytes from the first one that the speaker sent. Every byte has an *original* position
(where the speaker put it) and an *edited* one (where the listener finds it). The stream grows through
three stages:

        0                    decided            received
        |---- decided --------|---- undecided ----|      (gap)   waiting: segments that arrived early
        original positions; the edited position of `decided` is `ready`

* `arrive` takes the payload of a segment and returns what is now contiguous.
* `decide` decides the next bytes: unchanged, or with replacements. A decision is final.
* What is sent is always a slice of the decided, edited bytes (`kept`), never the packet that came in. So a
  retransmission carries the same bytes as the first transmission, whatever its boundaries, and content
  that contradicts what was decided is never forwarded.

Undecided bytes are *withheld*: an incomplete line that may have to be rewritten. Their speaker may wait for
an acknowledgment before it sends the rest (Nagle), so they are acknowledged in the listener's name
(`acked_early`), but only when the listener has acknowledged everything before them. Then the gateway is
responsible for withheld bytes only. It sends these itself, with the rest of their line or after a time, and
retransmits them until the listener has acknowledged them. See docs/adr/0006.

Bytes that were never seen here, because they were in flight when a helper was loaded or because a capture lacks
them, are not a gap to wait for: those at the beginning (`unseen`) pass unchanged, and bytes that the listener has
acknowledged although they were never seen are skipped (`skip`).

After `release` the stream is transparent: bytes are no longer kept, only shifted.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import NamedTuple

from ipmasq.core.budget import Account, unlimited
from ipmasq.core.framing import Framer, Lines
from ipmasq.core.plain import MOST, Fields, Plain
from ipmasq.core.views import NO_SHIFT, Shift
from ipmasq.core.waiting import WaitingSegments

_SEQ, _HALF = 0xFFFFFFFF, 0x80000000

HISTORY = 1024
"""Edited bytes that are kept after they were acknowledged, for late retransmissions."""

LINES = Lines(b"\n", 2048)


class StreamFullError(Exception):
    """The limit of bytes kept for one stream, for its host, or in all is reached."""


class Edit(NamedTuple):
    """Original bytes `start:end` were replaced by edited bytes `edited_start:edited_end`."""

    start: int
    end: int
    edited_start: int
    edited_end: int


_start, _edited_start = attrgetter("start"), attrgetter("edited_start")


def _shift_before(edit: Edit) -> int:
    """Return the shift of bytes before an edit, the first one that is still remembered."""
    return edit.edited_start - edit.start


class Replacement(NamedTuple):
    """Put `text` in place of bytes `start:end`, counted from the first byte that is being decided."""

    start: int
    end: int
    text: bytes


class Stream:
    """Positions are unbounded; sequence numbers (`sequence`, `position`) are modulo 2**32."""

    def __init__(
        self,
        first: int,
        limit: int,
        account: Account | None = None,
        unseen: int = 0,
        framer: Framer = LINES,
    ) -> None:
        """`first` is the sequence number of the first byte. `limit` is the number of bytes that may be kept,
        which `account` pays for. `unseen` bytes passed before inspection began. `framer` counts messages."""
        self.first = first
        self.framer = framer
        self.limit = limit
        self.received = self.ready = self.unseen = unseen
        self.acknowledged = 0
        """Edited bytes that the listener has acknowledged."""
        self.acked_early = 0
        """Original bytes acknowledged to the speaker in the listener's name."""
        self.undecided = bytearray()
        self.end: int | None = None
        """Original position after the last byte, if the speaker has sent a FIN. It counts once everything
        before it has arrived (`ended`), and is forgotten if a later byte contradicts it."""
        self.transparent: int | None = None
        """Edited position from which bytes are no longer kept."""
        self.shift: Shift = NO_SHIFT
        self._kept = bytearray()
        self._kept_from = unseen
        self._account = account or unlimited()
        self._edits: list[Edit] = []
        self.waiting = WaitingSegments(framer)
        """Segments that arrived early."""
        self._begun = 0

    # -- positions and sequence numbers

    @property
    def decided(self) -> int:
        """Original position of the first undecided byte."""
        return self.received - len(self.undecided)

    @property
    def withholds(self) -> bool:
        return bool(self.undecided)

    @property
    def ended(self) -> bool:
        """Whether everything up to the speaker's FIN has arrived."""
        return self.received == self.end

    # These are called several times for each segment, so they call no other functions.

    def position(self, sequence: int) -> int:
        """Return the original position of the speaker's sequence number, near what was received."""
        received = self.received
        return received + ((sequence - self.first - received + _HALF) & _SEQ) - _HALF

    def edited_position(self, sequence: int) -> int:
        """Return the edited position of a sequence number that the listener acknowledged."""
        ready = self.ready
        return ready + ((sequence - self.first - ready + _HALF) & _SEQ) - _HALF

    def sequence(self, position: int) -> int:
        """Return the sequence number of a position, original or edited: both count from the same first byte."""
        return (self.first + position) & _SEQ

    def edited(self, position: int, round_up: bool = False) -> int:
        """Return where the listener finds original `position`. Inside a replaced range, it is the start or
        the end of the replacement."""
        if self.transparent is None and position >= self.received - len(self.undecided):
            # After the FIN, which has a sequence number of its own, there is one more position.
            return self.ready + (1 if position > self.received == self.end else 0)
        edits = self._edits
        if not edits:
            return position
        edit = edits[-1]
        if position < edit.start:
            index = bisect_right(edits, position, key=_start)
            if not index:
                return position + _shift_before(edits[0])
            edit = edits[index - 1]
        if position < edit.end:
            return edit.edited_end if round_up and position > edit.start else edit.edited_start
        return edit.edited_end + (position - edit.end)

    def shifted(self, position: int) -> int:
        """Return where the listener would find original `position`, however far away, if nothing else
        changed."""
        if position >= self.decided and self.transparent is None:
            return self.ready + position - self.decided
        return self.edited(position)

    def original(self, position: int, round_up: bool = False) -> int:
        """Return the original position for the listener's `position`. Inside replaced bytes, it is their
        start (so that no byte is acknowledged that has not arrived), or their end."""
        edits = self._edits
        if not edits:
            return position
        edit = edits[-1]
        if position < edit.edited_start:
            index = bisect_right(edits, position, key=_edited_start)
            if not index:
                return position - _shift_before(edits[0])
            edit = edits[index - 1]
        if position < edit.edited_end:
            return edit.end if round_up and position > edit.edited_start else edit.start
        return edit.end + (position - edit.edited_end)

    # -- growth

    def arrive(self, position: int, data: bytes) -> bytes:
        """Add `data` at original `position`. Return what is now contiguous beyond what was known before; it
        is undecided. Raises StreamFullError; then nothing has changed."""
        received = self.received
        end = position + len(data)
        if end <= received or received == self.end:
            return b""
        if position > received:
            if not self.waiting.add(position, data, self.received, self.limit, self._account):
                raise StreamFullError
            self._pay()
            return b""
        fresh = data[received - position :] if position < received else data
        self._room_for(len(fresh))
        return self._take_up(fresh)

    def _take_up(self, fresh: bytes) -> bytes:
        """Append `fresh` and waiting bytes that follow it. All of them are undecided."""
        self.received += len(fresh)
        while self.waiting.segments and (follows := self.waiting.take(self.received)):
            fresh += follows
            self.received += len(follows)
        self.undecided += fresh
        if self.end is not None and self.received > self.end:
            self.end = None
        self._pay()
        return fresh

    def skip(self, position: int) -> bytes:
        """Skip to original `position`, up to which the listener has acknowledged beyond what was received
        here: what it received by another path is no gap. Return what is now contiguous after it."""
        self.decide(len(self.undecided))
        self.ready += position - self.received
        self.received = position
        self.acknowledged = self.ready
        self._kept.clear()
        self._kept_from = self.ready
        return self._take_up(b"")

    def _room_for(self, count: int) -> None:
        kept = self.ready - self.acknowledged + len(self.undecided)
        if kept + count > self.limit or not self._account.has_room(count):
            raise StreamFullError

    def _pay(self) -> None:
        self._account.set(self._size)

    @property
    def _size(self) -> int:
        return len(self.undecided) + len(self._kept) + self.waiting.bytes + self._begun

    def keep_begun(self, count: int) -> None:
        """So many bytes of the message that has begun are kept by its reader although they were decided."""
        if count != self._begun:
            self._begun = count
            self._pay()

    def close(self) -> None:
        """Free everything that is kept."""
        self._account.set(0)

    def decide(self, count: int, replacements: tuple[Replacement, ...] = ()) -> None:
        """Decide the next `count` undecided bytes, with these replacements (in order, not overlapping)."""
        source = bytes(self.undecided[:count])
        del self.undecided[:count]
        if not replacements:
            self._keep(source)
            return
        start, at = self.decided - len(source), 0
        for each in replacements:
            self._keep(source[at : each.start])
            edited_start = self.ready
            self._keep(each.text)
            edit = Edit(start + each.start, start + each.end, edited_start, self.ready)
            self._edits.append(edit)
            self._note_shift(edit)
            at = each.end
        self._keep(source[at:])
        self._pay()

    def _keep(self, data: bytes) -> None:
        self._kept += data
        self.ready += len(data)

    def _note_shift(self, edit: Edit) -> None:
        delta = edit.edited_end - edit.end
        if delta != self.shift.delta:
            self.shift = Shift(self.sequence(edit.start), delta, self.shift.delta)

    def release(self) -> None:
        """End inspection: decide everything unchanged, and keep nothing of what arrives later."""
        self.decide(len(self.undecided))
        self.transparent = self.ready
        self.waiting = WaitingSegments(self.framer)
        self._begun = 0
        self._pay()

    def pass_by(self, position: int) -> None:
        """Record that a transparent stream was seen up to original `position`."""
        if (
            position > self.received and not self.ended
        ):  # what comes after a FIN has a position one higher
            self.ready = self.edited(position)
            self.received = position

    def retain(self, framer: Framer) -> None:
        """Resume inspection with the bytes that arrive next: the opposite of `release`. This requires that
        everything was acknowledged, so that no byte that is not kept can be requested again."""
        assert self.acknowledged == self.ready
        self.transparent, self.framer = None, framer
        self.waiting = WaitingSegments(framer)
        self._kept.clear()
        self._kept_from = self.ready
        self._pay()

    # -- what has been received by the listener

    def acknowledge(self, position: int) -> None:
        """Record that the listener has everything before edited `position`."""
        if self.acknowledged < position <= self.ready + 1:
            self.acknowledged = position if position < self.ready else self.ready
            if self.acknowledged - HISTORY >= self._kept_from + HISTORY:
                self._forget(self.acknowledged - HISTORY)

    def _forget(self, position: int) -> None:
        if self.transparent is not None:
            position = min(position, self.transparent)
        count = position - self._kept_from
        if count < HISTORY:
            return
        del self._kept[:count]
        self._kept_from = position
        self._pay()
        # The last edit before the history remains, since it carries the shift.
        while len(self._edits) > 1 and self._edits[1].edited_end <= position:
            del self._edits[0]

    def slice(self, start: int, end: int) -> tuple[int, bytes]:
        """Return the kept edited bytes of `start:end`, as far as there are any: `(their first position,
        bytes)`."""
        kept_from = self._kept_from
        if start < kept_from:
            start = kept_from
        return start, bytes(self._kept[start - kept_from : end - kept_from]) if end > start else b""

    @property
    def account(self) -> Account:
        """The account that pays for what is kept."""
        return self._account

    # -- plain values

    def to_state(self) -> Plain:
        """Return it as plain values."""
        return {
            "first": self.first,
            "limit": self.limit,
            "received": self.received,
            "unseen": self.unseen,
            "acknowledged": self.acknowledged,
            "acked_early": self.acked_early,
            "undecided": bytes(self.undecided),
            "end": self.end,
            "transparent": self.transparent,
            "ready": self.ready,
            "shift": [self.shift.init_seq, self.shift.delta, self.shift.previous_delta],
            "kept": bytes(self._kept),
            "kept_from": self._kept_from,
            "edits": [list(edit) for edit in self._edits],
            "waiting": self.waiting.to_state(),
            "begun": self._begun,
        }

    @classmethod
    def from_state(cls, state: Fields, framer: Framer, account: Account) -> Stream:
        """Return the stream of a state, which `account` pays for. Raises StateError."""
        first, limit, unseen = map(state.integer, ("first", "limit", "unseen"))
        made = cls(first, limit, account, unseen, framer)
        made.received, made.ready = map(state.integer, ("received", "ready"))
        made.acknowledged = state.integer("acknowledged")
        made.acked_early = state.integer("acked_early")
        made.undecided += state.blob("undecided")
        made.end = state.integer_or_none("end", -MOST)
        made.transparent = state.integer_or_none("transparent")
        made.shift = Shift(*map(state.listed("shift").integer, range(3), (0, -MOST, -MOST)))
        made._kept += state.blob("kept")
        made._kept_from = state.integer("kept_from")
        made._edits = [Edit(*map(edit.integer, range(4))) for edit in state.rows("edits")]
        made.waiting.restore(state.rows("waiting"))
        made._begun = state.integer("begun")
        made._pay()
        return made

    def check(self) -> None:
        """Raise AssertionError unless everything is consistent."""
        assert self._kept_from + len(self._kept) == (
            self.ready if self.transparent is None else self.transparent
        )
        assert self.acknowledged <= self.ready
        assert self.acked_early <= self.received
        assert self._account.kept == self._size
        assert self.waiting.bytes <= self.limit
        self.waiting.check()
        last = Edit(-1, -1, -1, -1)
        for edit in self._edits:
            assert last.end <= edit.start < edit.end
            assert last.edited_end <= edit.edited_start <= edit.edited_end
            last = edit
