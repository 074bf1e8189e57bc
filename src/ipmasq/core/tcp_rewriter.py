"""Rewrites an inspected TCP connection: segments in, segments out.

`Stream` knows bytes and positions; this file knows TCP headers: sequence and acknowledgment numbers, SACK,
windows. It knows neither addresses nor helpers. Speakers are the two ends; what a speaker sends goes to the
other, except answers made in the other's name. The headers of segments that leave are built in `cutting`, the
gateway's own segments in `own_segments`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from ipmasq.core.budget import Account, unlimited
from ipmasq.core.cutting import Sent, cut
from ipmasq.core.direction import HOLD, Direction
from ipmasq.core.framing import Framer, Message, MessageReader
from ipmasq.core.listener import UNCHANGED, Listener
from ipmasq.core.own_segments import ack_early, deliver, report_gap
from ipmasq.core.plain import Fields, Plain
from ipmasq.core.renumbering import map_sack, renumbered, window_left
from ipmasq.core.runs import Run, asked, early, see_through, within_window
from ipmasq.core.speaker import Speaker
from ipmasq.core.stream import Replacement, Stream
from ipmasq.core.tcp_end import LARGEST_UNSCALED
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, FIN, RST, SYN, Segment

MOST_SKIPPED = 1 << 16
"""Bytes of a control connection that a capture may lack in one place."""
CLOSE = 0xFFFF
"""Bytes around the known positions within which both numbers of a segment must be for its window and its
timestamp to be used in the gateway's own segments. A control connection has no more in flight, and a blind
segment meets this condition once in 2^30, however large the windows are."""


class OutdatedError(Exception):
    """The ends have gone on since the state was recorded from which a rewriter was restored. What they have said, and by
    how much it was shifted, is not known."""


class TcpRewriter:
    def __init__(
        self,
        listener: Listener,
        framer: Framer,
        limit: int,
        account: Callable[[], Account] = unlimited,
        hold: float = HOLD,
    ) -> None:
        """`limit` is the number of bytes kept for each stream; `account` makes the account that pays for one.
        `hold` is the number of seconds for which the beginning of a message is withheld without growing."""
        self.listener: Listener | None = listener
        self.path_mtu: int | None = None
        self.directions = Direction(Speaker.CLIENT), Direction(Speaker.SERVER)
        self._framer = framer
        self._limit = limit
        self._account = account
        self._hold = hold
        self._is_open = False
        """Whether the handshake is complete. Before that, nothing is kept."""
        self.is_doubtful = False
        """Whether its state may be older than what the ends have said, and no segment has shown yet that it is not."""

    def to_state(self, now: float) -> Plain:
        """Return it as plain values, without the listener."""
        return {
            "listens": self.listener is not None,
            "path_mtu": self.path_mtu,
            "directions": [direction.to_state(now) for direction in self.directions],
            "limit": self._limit,
            "is_open": self._is_open,
        }

    @classmethod
    def from_state(
        cls,
        state: Fields,
        now: float,
        listener: Listener,
        framer: Framer,
        account: Callable[[], Account],
    ) -> TcpRewriter:
        """Return the rewriter of a state; `listener` is attached if one was. Raises StateError."""
        made = cls(listener, framer, state.integer("limit"), account)
        if not state.boolean("listens"):
            made.listener = None
        made.path_mtu = state.integer_or_none("path_mtu")
        ends = state.listed("directions")
        for me in made.directions:
            me.restore(ends.fields(me.speaker), now, framer, account)
        made._is_open = state.boolean("is_open")
        return made

    @property
    def reach(self) -> int | None:
        """Return how many bytes from its speaker's last numbers those of a segment in window can be: no more is in
        flight than is kept of an inspected stream, however large windows are. Return None if there is no such
        bound, since some bytes in flight were not inspected or nothing is inspected any more."""
        if self.listener is None or any(s and s.acknowledged < s.unseen for s in self.streams):
            return None
        return max(self._limit, LARGEST_UNSCALED)

    @property
    def streams(self) -> tuple[Stream | None, Stream | None]:
        one, other = self.directions
        return one.stream, other.stream

    def receive(
        self, speaker: Speaker, segment: Segment, payload: bytes, size: int = 0, now: float = 0.0
    ) -> list[Sent]:
        """Return what to send for this segment in window of `speaker` (see `ipmasq.core.window`); `size` is
        the payload of each of its parts if it stands for several (GSO). Raises StreamFullError and
        OutdatedError."""
        me, other = self.directions[speaker], self.directions[1 - speaker]
        stream = me.stream
        if segment.flags & (RST | SYN) or stream is None:
            opens = segment.flags & (RST | SYN) == SYN
            return [self._open(me, other, segment) if opens else self.renumbered(speaker, segment)]
        fin = segment.flags & FIN
        if not self._is_open:
            self._is_open = speaker is Speaker.CLIENT and self._has_heard(segment)
            if not self._is_open:
                payload, fin = b"", 0
        position = stream.position(segment.sequence)
        if payload:
            taken = within_window(stream, other.end.edge, position, payload)
            if len(taken) < len(payload):
                payload, fin = taken, 0
        numbers = self._acknowledge(me, other, segment, position)
        ended = stream.ended
        if fin and not ended:
            stream.end = position + len(payload)
            ended = stream.ended
        if stream.transparent is None:
            runs = self._take(me, stream, position, payload, now)
        else:
            runs = see_through(stream, me.delivery, position, payload, now)
        if not fin and not ended and stream.ended:
            # The FIN arrived early and was left out; it belongs to what has just filled the gap.
            fin = FIN
        segment = renumbered(segment, segment.flags & ~FIN | fin, numbers)
        sent = cut(me, other, segment, position, runs, size or len(payload), self.path_mtu)
        if stream.undecided and position + len(payload) > stream.decided:
            sent += ack_early(me, other)
        elif payload and position > stream.received:
            sent += report_gap(me, other, position)
        return sent

    def renumbered(self, speaker: Speaker, segment: Segment) -> Sent:
        """Return a segment without its payload, in the other end's sequence numbers, for one that is out of
        window: its receiver judges it, and may have to answer. Nothing is remembered of it."""
        stream, other = self.directions[speaker].stream, self.directions[1 - speaker].stream
        # A SYN that does not belong to this connection begins a newer one with its own number.
        if stream is not None and not segment.flags & SYN:
            position = stream.shifted(stream.position(segment.sequence))
            segment = segment._replace(sequence=stream.sequence(position))
        acknowledgment = self.acknowledged(speaker, segment)
        options = segment.options if other is None else map_sack(other, segment.options)
        return Sent(speaker, segment._replace(acknowledgment=acknowledgment, options=options), b"")

    def acknowledged(self, speaker: Speaker, segment: Segment) -> int:
        """Return the acknowledgment number of a segment of `speaker`, in the other end's numbers."""
        stream = self.directions[1 - speaker].stream
        if stream is None or not segment.flags & ACK:
            return segment.acknowledgment
        return stream.sequence(stream.original(stream.edited_position(segment.acknowledgment)))

    def began_at(self, first: int) -> bool:
        """Return whether this is the sequence number of the first byte that the client sent."""
        stream = self.directions[Speaker.CLIENT].stream
        return stream is not None and stream.first == first

    def _has_heard(self, segment: Segment) -> bool:
        """Return whether a client's segment acknowledges what the server has sent, which only its receiver
        can do. Otherwise anybody could, in a client's name, use up what that client pays for."""
        stream = self.directions[Speaker.SERVER].stream
        if stream is None:
            return False
        edited = stream.edited_position(segment.acknowledgment)
        return 0 <= edited <= stream.ready + MOST_SKIPPED

    def ended(self, speaker: Speaker) -> bool:
        """Return whether `speaker` has sent a FIN and everything before it has arrived."""
        stream = self.directions[speaker].stream
        return stream is not None and stream.ended

    # -- opening

    def _open(self, me: Direction, other: Direction, syn: Segment) -> Sent:
        """Handle a SYN: record its numbers. Data on it will be retransmitted after the handshake."""
        first = tcp.advance(syn.sequence, 1)
        if me.stream is None or (not self._is_open and me.stream.first != first):
            self.start(me.speaker, first, at_start=True)
        if not self._is_open:
            me.end.open(syn)
        if syn.flags & ACK:
            unscaled = tcp.option(syn.options, tcp.WINDOW_SCALE) is None
            if unscaled and other.end.scale is not None:
                other.end.scale = 0
            syn = renumbered(syn, syn.flags, self._acknowledge(me, other, syn, -1))
        return Sent(me.speaker, syn, b"")

    def start(self, speaker: Speaker, first: int, at_start: bool, unseen: int = 0) -> None:
        """Begin the stream of `speaker` with sequence number `first`. For a connection that is open already,
        that is what the other end has acknowledged; `unseen` bytes after that have passed without inspection.
        """
        me = self.directions[speaker]
        if me.stream is not None:
            me.stream.close()
        me.stream = Stream(first, self._limit, self._account(), unseen, self._framer)
        me.reader = MessageReader(self._framer, unseen, at_start)
        me.is_joined = not at_start
        self._is_open |= not at_start
        if self.listener is None:
            me.stream.release()

    # -- acknowledgments

    def _acknowledge(
        self, me: Direction, other: Direction, segment: Segment, position: int
    ) -> tuple[int, int, bytes]:
        """Return acknowledgment number, window and options of a segment of `me`, which begins at `position`,
        as the other end must see them."""
        stream = other.stream
        if not segment.flags & ACK or stream is None:
            return segment.acknowledgment, segment.window, segment.options
        edited = stream.edited_position(segment.acknowledgment)
        ahead = position - me.stream.received if me.stream is not None else -1
        if -CLOSE <= ahead <= CLOSE and -CLOSE <= edited - stream.acknowledged <= CLOSE:
            me.end.learn(segment, edited, in_order=ahead <= 0)
        stream.acknowledge(edited)
        original = stream.original(edited)
        if original > stream.received + stream.ended:
            if ahead == 0 or (0 < ahead <= 0xFFFF and original - stream.received <= MOST_SKIPPED):
                self._skip(other, stream, original, ahead == 0)
            edited = min(edited, stream.ready)
            original = min(original, stream.received)
        else:
            other.claimed = None
            self.is_doubtful &= ahead != 0
        if stream.acked_early <= original:
            other.delivery.repeat_at = inf
        if stream.undecided and edited >= stream.ready:
            stream.acked_early = stream.received
        early = max(original, stream.acked_early)
        window = window_left(me, stream, segment.flags, segment.window, early - original)
        return stream.sequence(early), window, map_sack(stream, segment.options)

    def _skip(self, other: Direction, stream: Stream, original: int, is_exact: bool) -> None:
        """The listener has acknowledged bytes that were never seen here. They are skipped at once if the
        acknowledgment is exactly where it must be, else when it is repeated for a position not far away."""
        claimed, other.claimed = other.claimed, original
        if stream.transparent is not None or not (is_exact or claimed == original):
            return
        if self.is_doubtful and not other.is_joined:
            raise OutdatedError
        other.claimed = None
        if self._framer.overlap is None:
            self.release()  # the beginning of the next message is no longer known
            return
        other.reader = MessageReader(self._framer, original, at_start=False)
        fresh = stream.skip(original)
        if fresh:
            self._digest(other, stream, fresh)

    # -- data

    def _take(
        self, me: Direction, stream: Stream, position: int, payload: bytes, now: float
    ) -> list[Run]:
        """Process what is new, and return what to send."""
        sent = stream.ready
        fresh = stream.arrive(position, payload) if payload else b""
        if fresh:
            self._digest(me, stream, fresh)
        if stream.undecided and stream.ended:
            me.forward_withheld()
        delivery = me.delivery
        if not stream.undecided:
            delivery.since = inf
        elif fresh:
            delivery.since = now
        start = stream.edited(position)
        if stream.ready > sent:
            # Withheld bytes leave with those that complete their message.
            if stream.acked_early > stream.original(sent):
                delivery.leaves(now)
            return asked(stream, min(start, sent), position, payload, stream.ready)
        if payload and now >= delivery.repeat_at:
            delivery.repeats_now(now)
            return [early(stream, start), *asked(stream, start, position, payload)]
        if payload:
            return asked(stream, start, position, payload)
        # A keep-alive probe must stay before what the listener expects, or it is not answered.
        old = position < stream.received and stream.end is None
        return [Run(min(start, stream.ready - 1) if old else start, b"")]

    def _digest(self, me: Direction, stream: Stream, fresh: bytes) -> None:
        """Give complete messages to the listener, and decide as much as possible. `fresh` is the latest
        undecided bytes."""
        reader = me.reader
        assert reader is not None
        reader.feed(fresh)
        while self.listener is not None and (message := self._next(me, reader)):
            handled = self.listener.handle(me.speaker, message) if message.whole else UNCHANGED
            replacements, passed = handled.replacements, message.passed
            if passed:
                replacements = tuple(
                    Replacement(r.start - passed, r.end - passed, r.text) for r in replacements
                )
            stream.decide(len(message.text) - passed, replacements)
            if handled.stop:
                self.release()
        if self.listener is None:
            return
        stream.keep_begun(reader.passed)
        if not stream.undecided:
            return
        partial = reader.partial
        if partial is None or (partial and not self.listener.may_rewrite(me.speaker, partial)):
            me.forward_withheld()

    def _next(self, me: Direction, reader: MessageReader) -> Message | None:
        """Return the next complete message. If the framer raises, no further message is given."""
        try:
            return reader.next()
        except ValueError:
            self.release()
        except Exception as error:
            if self.listener is not None:
                self.listener.misframed(me.speaker, error)
            self.release()
        return None

    # -- what the gateway sends by itself

    @property
    def deadline(self) -> float:
        """Return when `expire` has something to do, on the engine's clock (seconds), or infinity."""
        one, other = self.directions[0].delivery, self.directions[1].delivery
        if one.is_idle and other.is_idle:
            return inf
        return min(one.deadline(self._hold), other.deadline(self._hold))

    def expire(self, now: float) -> list[Sent]:
        """Return what is due: a message that was never finished, and bytes that were acknowledged early and
        lost."""
        one, other = self.directions
        return [
            *deliver(one, other, now, self._hold, self.path_mtu),
            *deliver(other, one, now, self._hold, self.path_mtu),
        ]

    # -- attaching and releasing the listener

    @property
    def is_plain(self) -> bool:
        """Return whether there is no listener, no shift, and nothing kept that is needed, so that the
        rewriter can go."""
        return self.listener is None and all(
            stream is None
            or (
                stream.shift.delta == 0
                and stream.acknowledged >= (stream.transparent or 0)
                and stream.acked_early <= stream.original(stream.acknowledged)
            )
            for stream in self.streams
        )

    def release(self) -> None:
        """End inspection; positions stay shifted. What was withheld is sent by `expire`."""
        self.listener = None
        for me in self.directions:
            stream = me.stream
            if stream is not None and stream.transparent is None:
                if stream.withholds:
                    me.delivery.left_at = stream.ready
                stream.release()
                me.reader = None

    def close(self) -> None:
        """Free everything, since the connection has ended."""
        for stream in self.streams:
            if stream is not None:
                stream.close()

    def retain(self, listener: Listener, framer: Framer) -> bool:
        """Begin to inspect again, from the next message on. Return False if bytes are in flight; then try
        again later."""
        if any(s.acknowledged != s.ready or s.ended for s in self.streams if s is not None):
            return False
        self.listener, self._framer = listener, framer
        for me in self.directions:
            stream = me.stream
            if stream is not None and stream.transparent is not None:
                stream.retain(framer)
                me.reader = MessageReader(framer, stream.received, at_start=False)
        return True
