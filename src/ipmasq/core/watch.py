"""A watched TCP connection: segments in, segments out.

`Stream` knows bytes and positions; this file knows TCP headers: sequence and acknowledgment numbers,
SACK, urgent pointers, windows, segment sizes. It knows neither addresses nor helpers. Speakers are the
two ends; what a speaker sends goes to the other, except answers made on the other's behalf.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ipmasq.core.door import Speaker
from ipmasq.core.lines import Line, LineReader
from ipmasq.core.stream import Replacement, Stream
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, FIN, PSH, RST, SYN, URG, Segment

FARTHEST = 1 << 26
"""Bytes from the expected position beyond which a segment cannot belong to its stream."""
MOST_BLOCKS = 3
"""SACK blocks that have room beside timestamps."""
LEAST_MSS = 536
"""What every host takes (RFC 9293, 3.7.1)."""


class Heard(NamedTuple):
    """What to replace in a line, in order; and whether to look no further after it."""

    replacements: tuple[Replacement, ...] = ()
    stop: bool = False


NOTHING = Heard()


class Listener(Protocol):
    """Who looks at the lines."""

    def awaits(self, speaker: Speaker, partial: bytes) -> bool:
        """See `ipmasq.core.door.Helper.awaits`."""

    def hear(self, speaker: Speaker, line: Line) -> Heard:
        """A whole line was said."""


class Sent(NamedTuple):
    """A segment in the name of `speaker`, in the other end's sequence space."""

    speaker: Speaker
    segment: Segment
    payload: bytes


class End:
    """What must be remembered of one speaker's headers."""

    __slots__ = ("mss", "scale", "takes_sack", "timestamp", "window")

    def __init__(self) -> None:
        self.mss: int | None = None
        self.takes_sack = False
        self.scale = 0
        self.window = 0
        self.timestamp: bytes | None = None
        """TSval of its latest segment (RFC 7323)."""


class Watch:
    def __init__(self, listener: Listener, terminator: bytes, longest: int, limit: int) -> None:
        self.listener: Listener | None = listener
        self.path_mtu: int | None = None
        self.streams: list[Stream | None] = [None, None]
        self._terminator = terminator
        self._longest = longest
        self._limit = limit
        self._ends = (End(), End())
        self._readers: list[LineReader | None] = [None, None]

    def receive(
        self, speaker: Speaker, segment: Segment, payload: bytes, size: int = 0
    ) -> list[Sent] | None:
        """What to send for this segment of `speaker`; `size` is the payload of each of its parts if
        it stands for several (GSO). None if it cannot belong to the stream. Raises StreamFullError."""
        if segment.flags & SYN:
            return [self._open(speaker, segment)]
        stream = self.streams[speaker] or self._meet(speaker, segment)
        position = stream.position(segment.sequence)
        if abs(position - stream.received) > FARTHEST:
            return None
        segment = self._acknowledge(speaker, segment)
        if segment.flags & RST:
            return [Sent(speaker, self._at(stream, segment, stream.edited(position)), b"")]
        if segment.flags & FIN and stream.end is None:
            stream.end = position + len(payload)
        gap = segment.flags & FIN == 0 and not stream.ended
        if stream.transparent is None:
            runs = self._take(speaker, stream, position, payload)
        else:
            runs = list(self._see_through(stream, position, payload))
        if gap and stream.ended:
            # The FIN came early and was left out; it belongs to what has just filled the gap.
            segment = segment._replace(flags=segment.flags | FIN)
        sent = list(self._cut(speaker, stream, segment, position, runs, size or len(payload)))
        if stream.withholds and position + len(payload) > stream.decided:
            sent.extend(self._promise(speaker, stream))
        elif payload and position > stream.received:
            sent.extend(self._report_gap(speaker, stream, position))
        return sent

    # -- opening

    def _open(self, speaker: Speaker, segment: Segment) -> Sent:
        """SYN: learn the numbers. Data on it is left to be repeated after the handshake."""
        end = self._ends[speaker]
        mss, scale = (
            tcp.option(segment.options, tcp.MSS),
            tcp.option(segment.options, tcp.WINDOW_SCALE),
        )
        first = tcp.advance(segment.sequence, 1)
        stream = self.streams[speaker]
        if stream is None or (stream.received == 0 and stream.first != first):
            self._start(speaker, first, at_start=True)
            end.mss = int.from_bytes(mss, "big") if mss and len(mss) == 2 else LEAST_MSS
            end.scale = min(scale[0], 14) if scale else 0
            end.takes_sack = tcp.option(segment.options, tcp.SACK_PERMITTED) is not None
        if segment.flags & ACK:
            if tcp.option(segment.options, tcp.WINDOW_SCALE) is None:
                self._ends[speaker.other].scale = 0
            segment = self._acknowledge(speaker, segment)
        return Sent(speaker, segment, b"")

    def _meet(self, speaker: Speaker, segment: Segment) -> Stream:
        """A stream whose beginning was not seen starts, mid-line, where it is met."""
        return self._start(speaker, segment.sequence, at_start=False)

    def _start(self, speaker: Speaker, first: int, at_start: bool) -> Stream:
        stream = Stream(first, self._limit)
        self.streams[speaker] = stream
        self._readers[speaker] = LineReader(self._terminator, self._longest, 0, at_start)
        if self.listener is None:
            stream.release()
        return stream

    # -- acknowledgments

    def _acknowledge(self, speaker: Speaker, segment: Segment) -> Segment:
        """The segment as the other end must see what it acknowledges."""
        end = self._ends[speaker]
        stamp = tcp.option(segment.options, tcp.TIMESTAMPS)
        if stamp:
            end.timestamp = stamp[:4]
        if not segment.flags & ACK:
            return segment
        end.window = segment.window
        stream = self.streams[speaker.other]
        if stream is None:
            stream = self._start(speaker.other, segment.acknowledgment, at_start=False)
        edited = stream.edited_position(segment.acknowledgment)
        stream.acknowledge(edited)
        original = stream.original(edited)
        if stream.withholds and edited >= stream.ready:
            stream.promised = stream.received
        promised = max(original, stream.promised)
        window = self._window(speaker, segment.flags, promised - original)
        return segment._replace(
            acknowledgment=stream.sequence(promised),
            window=window,
            options=self._map_sack(stream, segment.options),
        )

    def _window(self, speaker: Speaker, flags: int, promised: int) -> int:
        """The window field: what is promised beyond an acknowledgment takes room that the listener
        has offered but not yet filled."""
        end = self._ends[speaker]
        scale = 0 if flags & SYN else end.scale
        return max(0, (end.window << scale) - promised) >> scale

    @staticmethod
    def _map_sack(stream: Stream, options: bytes) -> bytes:
        def edge(sequence: int, is_left: bool) -> int:
            return stream.sequence(stream.original(stream.edited_position(sequence), is_left))

        return tcp.map_sack(options, edge) if len(options) >= 10 else options

    def _promise(self, speaker: Speaker, stream: Stream) -> Iterator[Sent]:
        """Acknowledge withheld bytes to their speaker, so that it goes on; see `stream`."""
        if stream.acknowledged == stream.ready:
            stream.promised = stream.received
            yield from self._answer(speaker, stream, b"")

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
        yield from self._answer(speaker, stream, blocks)

    def _answer(self, speaker: Speaker, stream: Stream, sack: bytes) -> Iterator[Sent]:
        """An acknowledgment to `speaker` in the name of the one that listens."""
        listener = speaker.other
        answers = self.streams[listener]
        if answers is None:
            return
        heard = stream.original(stream.acknowledged)
        acknowledged = max(heard, stream.promised)
        said = answers.ready + (1 if answers.ended else 0)
        mine, theirs = self._ends[listener].timestamp, self._ends[speaker].timestamp
        stamps = b"\x01\x01\x08\x0a" + mine + theirs if mine and theirs else b""
        yield Sent(
            listener,
            Segment(
                source_port=0,
                destination_port=0,
                sequence=answers.sequence(said),
                acknowledgment=stream.sequence(acknowledged),
                flags=ACK,
                window=self._window(listener, ACK, acknowledged - heard),
                checksum=0,
                urgent=0,
                options=stamps + sack,
            ),
            b"",
        )

    # -- data

    def _take(
        self, speaker: Speaker, stream: Stream, position: int, payload: bytes
    ) -> list[tuple[int, bytes]]:
        """Hear what is new; then what to send, as runs of edited bytes at edited positions."""
        before, sent = stream.received, stream.ready
        stream.arrive(position, payload)
        end = position + len(payload)
        if stream.received > before:
            self._digest(speaker, stream, before)
        reader = self._readers[speaker]
        if stream.ended and stream.withholds and reader is not None:
            stream.decide(len(stream.undecided))
            reader.pass_on()  # should more follow a FIN, the line's beginning has left
        start = stream.edited(position)
        if stream.promised > stream.original(stream.acknowledged):
            # Withheld bytes leave with what decides them, and again with each repetition of that.
            start = min(start, sent if position >= before else stream.acknowledged)
        fresh = stream.received > before
        to = stream.ready if fresh else stream.edited(end, round_up=True)
        if not payload:
            # A probe (keep-alive) must stay before what the listener expects, or it is not answered.
            old = position < stream.received and stream.end is None
            return [(min(start, stream.ready - 1) if old else start, b"")]
        return [stream.slice(start, to)] if to > start else [(min(start, stream.ready), b"")]

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
        partial = reader.partial
        if partial is None or (partial and not self.listener.awaits(speaker, partial)):
            stream.decide(len(stream.undecided))
            reader.pass_on()

    @staticmethod
    def _see_through(stream: Stream, position: int, payload: bytes) -> Iterator[tuple[int, bytes]]:
        """A transparent stream: what was kept before it became so, then the payload, shifted."""
        assert stream.transparent is not None
        boundary = stream.original(stream.transparent)
        stream.skip(position + len(payload))
        start = stream.edited(position)
        if stream.promised > stream.original(stream.acknowledged):
            start = min(start, stream.acknowledged)
        if start < stream.transparent:
            to = (
                stream.transparent
                if position + len(payload) >= boundary
                else stream.edited(position + len(payload), round_up=True)
            )
            yield stream.slice(start, to)
        raw = payload[max(0, boundary - position) :]
        if raw or start >= stream.transparent:
            yield max(stream.edited(position), stream.transparent), raw

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
        room = self._room(speaker, segment, size)
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
            flags = segment.flags & ~(FIN | URG | (0 if last else PSH))
            # `edited` of the end is the FIN's own position: everything before it has been decided.
            at_end = stream.end is not None and start + len(data) == stream.edited(stream.end)
            if segment.flags & FIN and stream.ended and at_end:
                flags |= FIN
            pointer = urgent - start if 0 < urgent - start <= 0xFFFF else 0
            flags |= URG if pointer else 0
            yield Sent(
                speaker,
                self._at(stream, segment, start)._replace(flags=flags, urgent=pointer),
                data,
            )

    @staticmethod
    def _at(stream: Stream, segment: Segment, edited: int) -> Segment:
        return segment._replace(sequence=stream.sequence(edited))

    def _room(self, speaker: Speaker, segment: Segment, size: int) -> int:
        """Payload bytes of the largest segment to send: what the listener announced (RFC 6691: less
        the options), what the path was found to take, or else what the speaker itself sent."""
        mss = self._ends[speaker.other].mss
        options = len(segment.options)
        room = mss - options if mss else max(size, LEAST_MSS)
        if self.path_mtu:
            room = min(room, self.path_mtu - 40 - options)
        return max(room, 1)

    # -- coming and going of the listener

    @property
    def is_plain(self) -> bool:
        """Nobody listens, nothing is shifted and nothing kept is needed: the watch can go."""
        return self.listener is None and all(
            stream is None
            or (
                stream.shift.delta == 0
                and stream.acknowledged >= (stream.transparent or 0)
                and stream.promised <= stream.original(stream.acknowledged)
            )
            for stream in self.streams
        )

    def release(self) -> None:
        """Look no further; positions stay shifted."""
        self.listener = None
        for stream in self.streams:
            if stream is not None and stream.transparent is None:
                stream.release()

    def retain(self, listener: Listener, terminator: bytes, longest: int) -> bool:
        """Look again, from the next line on. False if bytes are in flight: try again later."""
        streams = [stream for stream in self.streams if stream is not None]
        if any(s.acknowledged != s.ready or s.ended for s in streams):
            return False
        self.listener = listener
        self._terminator, self._longest = terminator, longest
        for index, stream in enumerate(self.streams):
            if stream is not None and stream.transparent is not None:
                stream.retain()
                self._readers[index] = LineReader(terminator, longest, stream.received, False)
        return True
