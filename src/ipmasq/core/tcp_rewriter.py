"""A watched TCP connection: segments in, segments out.

`Stream` knows bytes and positions; this file knows TCP headers: sequence and acknowledgment numbers,
SACK, urgent pointers, windows, segment sizes. It knows neither addresses nor helpers. Speakers are the
two ends; what a speaker sends goes to the other, except answers made on the other's behalf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import NamedTuple, Protocol

from ipmasq.core.budget import Account
from ipmasq.core.helper import Speaker
from ipmasq.core.lines import Line, LineReader
from ipmasq.core.stream import Replacement, Stream, unlimited
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, CWR, FIN, PSH, RST, SYN, URG, Segment

HOLD = 2.0
"""Seconds that the beginning of a line is withheld if no more of it comes; then it goes on as it is."""
MOST_SKIPPED = 1 << 16
"""Bytes that a capture may lack of a control connection in one place."""
REPEAT_AFTER = 0.2
"""Seconds after which what was acknowledged early is repeated to its listener for the first time; each time
after that takes twice as long (RFC 6298, 5.5)."""
MOST_REPEATS = 8
"""Repetitions after which the listener is given up, 51 s after the first."""
MOST_BLOCKS = 3
"""SACK blocks that have room beside timestamps."""
CLOSE = 0xFFFF
"""Bytes around what is known within which both numbers of a segment must be for its window and its timestamp to
be used in segments of the gateway's own. A control connection has no more under way; and who cannot see it hits
that with one segment in 2^30, however large windows its ends have agreed on."""
COST = 4096
"""Bytes that an inspected connection takes besides what is kept of its streams."""
USUAL_MSS = 536
"""What every host takes that says nothing else (RFC 9293, 3.7.1)."""
LEAST_MSS = 88
"""What an end may ask for at least (as Linux: TCP_MIN_MSS). One byte a segment would multiply all that comes in."""
MOST_HEADERS = 60 + 60
"""Bytes of the IP and TCP headers before a payload, at most; all must fit into 65,535 bytes (RFC 791, 3.1)."""


class Heard(NamedTuple):
    """What to replace in a line, in order; and whether to look no further after it."""

    replacements: tuple[Replacement, ...] = ()
    stop: bool = False


NOTHING = Heard()


class Listener(Protocol):
    """Who looks at the lines."""

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        """See `ipmasq.core.helper.Helper.may_rewrite`."""

    def hear(self, speaker: Speaker, line: Line) -> Heard:
        """A whole line was said."""


class Sent(NamedTuple):
    """A segment in the name of `speaker`, in the other end's sequence space."""

    speaker: Speaker
    segment: Segment
    payload: bytes


class End:
    """What must be remembered of one speaker's headers."""

    __slots__ = ("edge", "mss", "scale", "takes_sack", "timestamp", "window")

    def __init__(self) -> None:
        self.mss: int | None = None
        self.takes_sack = False
        self.scale: int | None = None
        """None: its SYN was not seen."""
        self.window = 0
        self.edge: int | None = None
        """Edited position up to which its window takes what the other end says."""
        self.timestamp: bytes | None = None
        """TSval of its latest segment (RFC 7323)."""


class Delivery:
    """When the gateway has to send of its own accord what it withholds, or has acknowledged early."""

    __slots__ = ("interval", "left_at", "repeat_at", "repeats", "since")

    def __init__(self) -> None:
        self.since = inf
        """When the beginning of a line that is withheld last grew."""
        self.left_at: int | None = None
        """Edited position of bytes that were withheld, and are to leave now: nobody looks any more."""
        self.repeat_at = inf
        """When what was acknowledged early and has left may be repeated."""
        self.interval = REPEAT_AFTER
        self.repeats = 0

    def leaves(self, now: float) -> None:
        """What was acknowledged early has left for the first time."""
        self.interval, self.repeats = REPEAT_AFTER, 0
        self.repeat_at = now + self.interval

    def repeats_now(self, now: float) -> None:
        self.repeats += 1
        self.interval *= 2
        self.repeat_at = now + self.interval if self.repeats < MOST_REPEATS else inf


class TcpRewriter:
    def __init__(
        self,
        listener: Listener,
        terminator: bytes,
        longest: int,
        limit: int,
        account: Callable[[], Account] = unlimited,
        hold: float = HOLD,
        cost: Account | None = None,
    ) -> None:
        """`longest`: bytes of a line. `limit`: bytes kept for each stream; `account` makes the account that
        pays for one, and `cost` is the account that pays for the connection itself. `hold`: seconds that the beginning of a line is withheld without growing."""
        self.listener: Listener | None = listener
        self.path_mtu: int | None = None
        self.streams: list[Stream | None] = [None, None]
        self._terminator = terminator
        self._longest = longest
        self._limit = limit
        self._account = account
        self.cost = cost or unlimited()
        self.cost.set(COST)
        self._hold = hold
        self._ends = (End(), End())
        self._readers: list[LineReader | None] = [None, None]
        self._deliveries = (Delivery(), Delivery())
        self._claimed: list[int | None] = [None, None]
        """By speaker: a position beyond what was received that its listener has acknowledged once."""
        self._is_open = False
        """The handshake is complete. Before that, nothing is kept."""

    def receive(
        self, speaker: Speaker, segment: Segment, payload: bytes, size: int = 0, now: float = 0.0
    ) -> list[Sent]:
        """What to send for this believable segment of `speaker` (see `ipmasq.core.window`); `size` is the
        payload of each of its parts if it stands for several (GSO). Raises StreamFullError."""
        if segment.flags & RST:
            return [self.outline(speaker, segment)]
        if segment.flags & SYN:
            return [self._open(speaker, segment)]
        stream = self.streams[speaker]
        if stream is None:
            return [self.outline(speaker, segment)]
        self._is_open |= speaker is Speaker.CLIENT and self._has_heard(segment)
        if not self._is_open:
            payload, segment = b"", segment._replace(flags=segment.flags & ~FIN)
        position = stream.position(segment.sequence)
        taken = self._within_window(speaker, stream, position, payload)
        if len(taken) < len(payload):
            payload, segment = taken, segment._replace(flags=segment.flags & ~FIN)
        segment = self._acknowledge(speaker, segment, position)
        if segment.flags & FIN and not stream.ended:
            stream.end = position + len(payload)
        gap = segment.flags & FIN == 0 and not stream.ended
        if stream.transparent is None:
            runs = self._take(speaker, stream, position, payload, now)
        else:
            runs = list(self._see_through(speaker, stream, position, payload, now))
        if gap and stream.ended:
            # The FIN came early and was left out; it belongs to what has just filled the gap.
            segment = segment._replace(flags=segment.flags | FIN)
        sent = list(self._cut(speaker, stream, segment, position, runs, size or len(payload)))
        if stream.withholds and position + len(payload) > stream.decided:
            sent.extend(self._ack_early(speaker, stream))
        elif payload and position > stream.received:
            sent.extend(self._report_gap(speaker, stream, position))
        return sent

    def outline(self, speaker: Speaker, segment: Segment) -> Sent:
        """A segment without its payload, in the other end's sequence space; nothing is remembered of it.
        For one that is not believable: its receiver judges it, and may have to answer."""
        stream = self.streams[speaker]
        # A SYN that is not of this connection is of a newer one, which begins with the number that it says.
        if stream is not None and not segment.flags & SYN:
            position = stream.shifted(stream.position(segment.sequence))
            segment = segment._replace(sequence=stream.sequence(position))
        acknowledgment = self.acknowledged(speaker, segment)
        other = self.streams[speaker.other]
        options = segment.options if other is None else self._map_sack(other, segment.options)
        return Sent(speaker, segment._replace(acknowledgment=acknowledgment, options=options), b"")

    def acknowledged(self, speaker: Speaker, segment: Segment) -> int:
        """The acknowledgment number of a segment of `speaker`, as the other end counts."""
        stream = self.streams[speaker.other]
        if stream is None or not segment.flags & ACK:
            return segment.acknowledgment
        return stream.sequence(stream.original(stream.edited_position(segment.acknowledgment)))

    def began_at(self, first: int) -> bool:
        """Whether this is the sequence number of the first byte that the client said."""
        stream = self.streams[Speaker.CLIENT]
        return stream is not None and stream.first == first

    def _has_heard(self, segment: Segment) -> bool:
        """Whether a client's segment acknowledges what the server has said, as only who has received that can:
        else anybody could have kept, in a client's name, what that client pays for."""
        stream = self.streams[Speaker.SERVER]
        if stream is None:
            return False
        edited = stream.edited_position(segment.acknowledgment)
        return 0 <= edited <= stream.ready + MOST_SKIPPED

    def ended(self, speaker: Speaker) -> bool:
        """Whether `speaker` has said all, and all of it has arrived."""
        stream = self.streams[speaker]
        return stream is not None and stream.ended

    # -- opening

    def _open(self, speaker: Speaker, segment: Segment) -> Sent:
        """SYN: learn the numbers. Data on it is left to be repeated after the handshake."""
        end = self._ends[speaker]
        mss = tcp.option(segment.options, tcp.MSS)
        scale = tcp.option(segment.options, tcp.WINDOW_SCALE)
        first = tcp.advance(segment.sequence, 1)
        stream = self.streams[speaker]
        if stream is None or (not self._is_open and stream.first != first):
            self.start(speaker, first, at_start=True)
        if not self._is_open:
            end.mss = int.from_bytes(mss, "big") if mss and len(mss) == 2 else USUAL_MSS
            end.scale = min(scale[0], 14) if scale else 0
            end.takes_sack = tcp.option(segment.options, tcp.SACK_PERMITTED) is not None
        if segment.flags & ACK:
            if scale is None and self._ends[speaker.other].scale is not None:
                self._ends[speaker.other].scale = 0
            segment = self._acknowledge(speaker, segment, -1)
        return Sent(speaker, segment, b"")

    def start(self, speaker: Speaker, first: int, at_start: bool, unseen: int = 0) -> None:
        """What `speaker` says begins with sequence number `first`. Of a connection that is open already,
        that is what the other end has acknowledged; `unseen` bytes after that have passed unseen."""
        before = self.streams[speaker]
        if before is not None:
            before.close()
        stream = Stream(first, self._limit, self._account(), unseen, self._terminator)
        self.streams[speaker] = stream
        self._readers[speaker] = LineReader(self._terminator, self._longest, unseen, at_start)
        self._is_open |= not at_start
        if self.listener is None:
            stream.release()

    # -- acknowledgments

    def _acknowledge(self, speaker: Speaker, segment: Segment, position: int) -> Segment:
        """The segment, which begins at `position`, as the other end must see what it acknowledges."""
        mine, stream = self.streams[speaker], self.streams[speaker.other]
        if not segment.flags & ACK or stream is None:
            return segment
        edited = stream.edited_position(segment.acknowledgment)
        ahead = position - mine.received if mine is not None else -1
        if abs(ahead) <= CLOSE and abs(edited - stream.acknowledged) <= CLOSE:
            self._learn(speaker, segment, edited, in_order=ahead <= 0)
        stream.acknowledge(edited)
        original = stream.original(edited)
        if original > stream.received + stream.ended:
            if ahead == 0 or (0 < ahead <= 0xFFFF and original - stream.received <= MOST_SKIPPED):
                self._skip(speaker.other, stream, original, ahead == 0)
            edited = min(edited, stream.ready)
            original = min(original, stream.received)
        else:
            self._claimed[speaker.other] = None
        if stream.acked_early <= original:
            self._deliveries[speaker.other].repeat_at = inf
        if stream.withholds and edited >= stream.ready:
            stream.acked_early = stream.received
        early = max(original, stream.acked_early)
        return segment._replace(
            acknowledgment=stream.sequence(early),
            window=self._window(speaker, segment.flags, segment.window, early - original),
            options=self._map_sack(stream, segment.options),
        )

    def _learn(self, speaker: Speaker, segment: Segment, edited: int, in_order: bool) -> None:
        """Remember of a segment, which acknowledges up to `edited`, what segments of the gateway's own need."""
        end = self._ends[speaker]
        stamp = tcp.option(segment.options, tcp.TIMESTAMPS)
        if stamp and in_order:  # RFC 7323, 4.3
            end.timestamp = stamp[:4]
        end.window = segment.window
        if end.scale is not None and not segment.flags & SYN:
            end.edge = max(end.edge or 0, edited + (segment.window << end.scale))

    def _skip(self, speaker: Speaker, stream: Stream, original: int, is_exact: bool) -> None:
        """The listener has acknowledged what was never seen here. It is believed at once if it stands
        exactly where it must, else when it says the same again, of a place not far away."""
        claimed, self._claimed[speaker] = self._claimed[speaker], original
        if stream.transparent is not None or not (is_exact or claimed == original):
            return
        self._claimed[speaker] = None
        reader = LineReader(self._terminator, self._longest, original, at_start=False)
        self._readers[speaker] = reader
        fresh = stream.skip(original)
        if fresh:
            self._digest(speaker, stream, original)

    def _window(self, speaker: Speaker, flags: int, window: int, early: int) -> int:
        """The window field: what was acknowledged early takes room that the listener has offered but not
        yet filled. Of a line that is withheld, the gateway itself takes the rest: a listener with less
        room than a line would otherwise stop it for good."""
        if not early:
            return window
        scale = 0 if flags & SYN else self._ends[speaker].scale or 0
        stream = self.streams[speaker.other]
        left = (
            self._longest - len(stream.undecided) if stream is not None and stream.withholds else 0
        )
        room = max((window << scale) - early, left)
        return min(max(0, room + (1 << scale) - 1) >> scale, 0xFFFF)

    def _within_window(
        self, speaker: Speaker, stream: Stream, position: int, payload: bytes
    ) -> bytes:
        """What of a payload the listener, or the gateway in its place, has offered to take: the rest is
        not of this connection, or will be repeated."""
        edge = self._ends[speaker.other].edge
        if edge is None or stream.transparent is not None:
            return payload
        most = stream.original(max(edge, stream.ready), round_up=True) + self._longest
        return payload[: max(0, most - position)]

    @staticmethod
    def _map_sack(stream: Stream, options: bytes) -> bytes:
        def edge(sequence: int, is_left: bool) -> int:
            return stream.sequence(stream.original(stream.edited_position(sequence), is_left))

        return tcp.map_sack(options, edge) if len(options) >= 10 else options

    def _ack_early(self, speaker: Speaker, stream: Stream) -> Iterator[Sent]:
        """Acknowledge withheld bytes to their speaker, so that it goes on; see `stream`."""
        if stream.acknowledged == stream.ready:
            stream.acked_early = stream.received
            yield from self._answer(speaker, b"")

    def _report_gap(self, speaker: Speaker, stream: Stream, position: int) -> Iterator[Sent]:
        """What came early is kept here, so its listener cannot speak of it: say it in the listener's
        name (RFC 2018), or the speaker would learn of the gap by its timer only."""
        blocks = b""
        if all(end.takes_sack for end in self._ends):
            early = sorted(stream.early(), key=lambda block: not block[0] <= position < block[1])
            for start, end in early[:MOST_BLOCKS]:
                blocks += stream.sequence(start).to_bytes(4, "big")
                blocks += stream.sequence(end).to_bytes(4, "big")
            blocks = bytes((tcp.NOP, tcp.NOP, tcp.SACK, 2 + len(blocks))) + blocks
        yield from self._answer(speaker, blocks)

    def _answer(self, speaker: Speaker, sack: bytes) -> Iterator[Sent]:
        """An acknowledgment to `speaker` in the name of the one that listens."""
        stream = self.streams[speaker.other]
        if stream is not None:
            at = stream.ready + (1 if stream.ended else 0)
            yield self._speak(speaker.other, stream, at, b"", sack)

    def _speak(
        self, speaker: Speaker, stream: Stream, at: int, data: bytes, sack: bytes = b""
    ) -> Sent:
        """A segment of the gateway's own in the name of `speaker`: edited bytes `data` of its `stream`, at
        edited position `at`, with the numbers that it last had."""
        listener = speaker.other
        mine, theirs = self._ends[speaker].timestamp, self._ends[listener].timestamp
        stamps = b"\x01\x01\x08\x0a" + mine + theirs if mine and theirs else b""
        acknowledgment = window = 0
        other = self.streams[listener]
        if other is not None:
            heard = other.original(other.acknowledged)
            early = max(heard, other.acked_early)
            acknowledgment = other.sequence(early)
            window = self._window(speaker, ACK, self._ends[speaker].window, early - heard)
        segment = Segment(
            source_port=0,
            destination_port=0,
            sequence=stream.sequence(at),
            acknowledgment=acknowledgment,
            flags=ACK | (PSH if data else 0),
            window=window,
            checksum=0,
            urgent=0,
            options=stamps + sack,
        )
        return Sent(speaker, segment, data)

    # -- data

    def _take(
        self, speaker: Speaker, stream: Stream, position: int, payload: bytes, now: float
    ) -> list[tuple[int, bytes]]:
        """Hear what is new; then what to send, as runs of edited bytes at edited positions."""
        before, sent = stream.received, stream.ready
        stream.arrive(position, payload)
        if stream.received > before:
            self._digest(speaker, stream, before)
        if stream.ended and stream.withholds:
            self._let_go(speaker, stream)
        delivery = self._deliveries[speaker]
        if not stream.withholds:
            delivery.since = inf
        elif stream.received > before:
            delivery.since = now
        start = stream.edited(position)
        fresh = stream.ready > sent
        if fresh:
            # Withheld bytes leave with what decides them.
            start = min(start, sent)
            if stream.acked_early > stream.original(sent):
                delivery.leaves(now)
        elif payload and now >= delivery.repeat_at:
            delivery.repeats_now(now)
            return [self._early(stream, start), *self._asked(stream, start, position, payload)]
        if not payload and not fresh:
            # A probe (keep-alive) must stay before what the listener expects, or it is not answered.
            old = position < stream.received and stream.end is None
            return [(min(start, stream.ready - 1) if old else start, b"")]
        return self._asked(stream, start, position, payload, stream.ready if fresh else None)

    @staticmethod
    def _asked(
        stream: Stream, start: int, position: int, payload: bytes, to: int | None = None
    ) -> list[tuple[int, bytes]]:
        """Edited bytes from `start` to `to`, or as far as the payload goes."""
        if to is None:
            to = stream.edited(position + len(payload), round_up=True)
        if position < stream.unseen:
            passed = [(position, payload[: stream.unseen - position])]
            return passed + ([stream.slice(stream.unseen, to)] if to > stream.unseen else [])
        if to <= start:
            return [(min(start, stream.ready), b"")]
        found = stream.slice(start, to)
        # What the listener has acknowledged is kept no longer, but a repetition must be answered.
        return [found if found[1] else (min(start, stream.ready - 1), b"")]

    @staticmethod
    def _early(stream: Stream, before: int) -> tuple[int, bytes]:
        """What was acknowledged early and has not arrived, as far as it is before an edited position: its
        speaker repeats what comes after, and will never repeat this."""
        end = min(stream.edited(stream.acked_early, round_up=True), before)
        return stream.slice(stream.acknowledged, max(end, stream.acknowledged))

    def _let_go(self, speaker: Speaker, stream: Stream) -> None:
        """What is withheld goes on as it is."""
        stream.decide(len(stream.undecided))
        reader = self._readers[speaker]
        if reader is not None:
            reader.pass_on()
            stream.keep_begun(reader.passed)

    def _digest(self, speaker: Speaker, stream: Stream, before: int) -> None:
        """Show complete lines, and decide as much as can be decided."""
        reader = self._readers[speaker]
        assert reader is not None
        reader.feed(bytes(stream.undecided[-(stream.received - before) :]))
        while self.listener is not None and (line := reader.next()):
            heard = self.listener.hear(speaker, line) if line.whole else NOTHING
            passed = line.passed
            stream.decide(
                len(line.text) - passed,
                tuple(
                    Replacement(r.start - passed, r.end - passed, r.text)
                    for r in heard.replacements
                ),
            )
            if heard.stop:
                self.release()
        if self.listener is None:
            return
        stream.keep_begun(reader.passed)
        partial = reader.partial
        if partial is None or (partial and not self.listener.may_rewrite(speaker, partial)):
            self._let_go(speaker, stream)

    def _see_through(
        self, speaker: Speaker, stream: Stream, position: int, payload: bytes, now: float
    ) -> Iterator[tuple[int, bytes]]:
        """A transparent stream: what was kept before it became so, then the payload, shifted."""
        assert stream.transparent is not None
        boundary = stream.original(stream.transparent)
        stream.pass_by(position + len(payload))
        start = stream.edited(position)
        delivery = self._deliveries[speaker]
        if payload and now >= delivery.repeat_at:
            delivery.repeats_now(now)
            yield self._early(stream, min(start, stream.transparent))
        if position < stream.unseen:
            yield position, payload[: stream.unseen - position]
            start = max(start, stream.unseen)
        if start < stream.transparent:
            to = (
                stream.transparent
                if position + len(payload) >= boundary
                else stream.edited(position + len(payload), round_up=True)
            )
            if to > start or position >= stream.unseen:
                found = stream.slice(start, to)
                # As in `_asked`: what is kept no longer is answered by its listener if asked like this.
                yield found if found[1] else (min(start, stream.transparent - 1), b"")
        raw = payload[max(0, boundary - position) :]
        if raw or (start >= stream.transparent and position >= stream.unseen):
            yield max(stream.edited(position), stream.transparent), raw

    # -- what the gateway sends of its own accord

    @property
    def deadline(self) -> float:
        """When `expire` has something to do, on the engine's clock (seconds); infinite if never."""
        one, other = self._deliveries
        if one.left_at is not None or other.left_at is not None:
            return -inf
        since = min(one.since, other.since)
        return min(since + self._hold, one.repeat_at, other.repeat_at)

    def expire(self, now: float) -> list[Sent]:
        """What is to be sent because its time has come: a line that was never finished, and what was
        acknowledged early and has been lost on its way."""
        sent: list[Sent] = []
        for speaker in Speaker:
            stream = self.streams[speaker]
            if stream is not None:
                sent += self._deliver(speaker, stream, now)
        return sent

    def _deliver(self, speaker: Speaker, stream: Stream, now: float) -> Iterator[Sent]:
        delivery = self._deliveries[speaker]
        start, delivery.left_at = delivery.left_at, None
        end = stream.ready if stream.transparent is None else stream.transparent
        if start is None and now >= delivery.since + self._hold:
            start = end
            self._let_go(speaker, stream)
            end = stream.ready
        if start is not None:
            delivery.since = inf
            if stream.acked_early > stream.original(start):
                delivery.leaves(now)
        elif now >= delivery.repeat_at:
            start, end = stream.acknowledged, stream.edited(stream.acked_early, round_up=True)
            delivery.repeats_now(now)
        else:
            return
        at, data = stream.slice(start, end)
        room = self._room(speaker, 12, USUAL_MSS)
        for index in range(0, len(data), room):
            yield self._speak(speaker, stream, at + index, data[index : index + room])

    # -- segments

    def _cut(
        self,
        speaker: Speaker,
        stream: Stream,
        segment: Segment,
        position: int,
        runs: list[tuple[int, bytes]],
        size: int,
    ) -> Iterator[Sent]:
        """Segments that carry these runs, none larger than the listener and the path take."""
        room = self._room(speaker, len(segment.options), size)
        urgent = (
            stream.edited(position + segment.urgent, round_up=True) if segment.flags & URG else 0
        )
        pieces = [
            (start + at, data[at : at + room])
            for start, data in runs
            for at in range(0, len(data) or 1, room)
        ]
        for index, (start, data) in enumerate(pieces):
            last = index == len(pieces) - 1
            # As a card does that cuts segments: CWR on the first, PSH on the last (RFC 3168, 6.1.2).
            gone = FIN | (0 if last else PSH) | (CWR if index else 0)
            flags = segment.flags & ~gone
            # `edited` of the end is the FIN's own position: everything before it has been decided.
            at_end = stream.end is not None and start + len(data) == stream.edited(stream.end)
            if segment.flags & FIN and stream.ended and at_end:
                flags |= FIN
            pointer = segment.urgent
            if flags & URG:
                pointer = urgent - start if 0 < urgent - start <= 0xFFFF else 0
                flags &= ~(0 if pointer else URG)
            sequence = stream.sequence(start)
            yield Sent(
                speaker, segment._replace(sequence=sequence, flags=flags, urgent=pointer), data
            )

    def _room(self, speaker: Speaker, options: int, size: int) -> int:
        """Payload bytes of the largest segment to send, with so many bytes of options: what the listener
        announced (RFC 6691: less the options), what the path was found to take, or else what the speaker
        itself sent."""
        mss = self._ends[speaker.other].mss
        room = max(mss, LEAST_MSS) - options if mss is not None else max(size, USUAL_MSS)
        if self.path_mtu:
            room = min(room, self.path_mtu - 40 - options)
        return min(max(room, LEAST_MSS - 40), 0xFFFF - MOST_HEADERS)

    # -- coming and going of the listener

    @property
    def is_plain(self) -> bool:
        """Nobody listens, nothing is shifted and nothing kept is needed: the watch can go."""
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
        """Look no further; positions stay shifted. What was withheld leaves by `expire`."""
        self.listener = None
        for speaker in Speaker:
            stream = self.streams[speaker]
            if stream is not None and stream.transparent is None:
                if stream.withholds:
                    self._deliveries[speaker].left_at = stream.ready
                stream.release()
                self._readers[speaker] = None

    def close(self) -> None:
        """The connection is forgotten: nothing is kept for it any more."""
        self.cost.set(0)
        for stream in self.streams:
            if stream is not None:
                stream.close()

    def retain(self, listener: Listener, terminator: bytes, longest: int) -> bool:
        """Look again, from the next line on. False if bytes are in flight: try again later."""
        streams = [stream for stream in self.streams if stream is not None]
        if any(s.acknowledged != s.ready or s.ended for s in streams):
            return False
        self.listener = listener
        self._terminator, self._longest = terminator, longest
        for index, stream in enumerate(self.streams):
            if stream is not None and stream.transparent is not None:
                stream.retain(terminator)
                self._readers[index] = LineReader(terminator, longest, stream.received, False)
        return True
