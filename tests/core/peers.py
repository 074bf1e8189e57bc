"""Two TCP ends and a bad network between them, for `TcpRewriter`: small models that do what real stacks do.

A `Peer` cuts what it has to say into segments of any size, keeps to Nagle if told, repeats what is not
acknowledged with other boundaries, and puts together what arrives. The network loses, repeats and
reorders on both sides of the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

from ipmasq.core.budget import unlimited
from ipmasq.core.cutting import Sent
from ipmasq.core.framing import Lines, Message
from ipmasq.core.listener import Handled
from ipmasq.core.plain import Fields
from ipmasq.core.speaker import Speaker
from ipmasq.core.stream import Replacement, StreamFullError
from ipmasq.core.tcp_end import LEAST_MSS
from ipmasq.core.tcp_rewriter import TcpRewriter
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, FIN, PSH, SYN, Segment
from tests.core.restored import serialised


class Editor:
    """A listener that rewrites lines by a function, and stops after the line `STOP`."""

    def __init__(self, rewrite: Callable[[bytes], bytes], awaited: bytes = b"E") -> None:
        self.rewrite = rewrite
        self.awaited = awaited
        self.lines: list[tuple[Speaker, bytes, int]] = []

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        return partial[: len(self.awaited)] == self.awaited[: len(partial)]

    def misframed(self, speaker: Speaker, error: Exception) -> None:
        raise AssertionError("lines can always be told")

    def handle(self, speaker: Speaker, line: Message) -> Handled:
        self.lines.append((speaker, line.text, line.position))
        new = self.rewrite(line.text)
        if new == line.text:
            return Handled(stop=line.text == b"STOP\r\n")
        return Handled((Replacement(0, len(line.text) - 2, new[:-2]),))


class Peer:
    def __init__(
        self, chance: Random, first: int, text: bytes, mss: int = 1460, nagle: bool = False
    ) -> None:
        self.chance = chance
        self.first = first
        self.text = text
        self.mss = mss
        self.nagle = nagle
        self.una = self.next = 0
        self.heard = bytearray()
        self.early: dict[int, bytes] = {}
        self.other_first: int | None = None
        self.other_end: int | None = None
        self.closes = False

    def segment(self, start: int, end: int, flags: int = ACK) -> tuple[Segment, bytes]:
        assert self.other_first is not None
        options = b""
        blocks = [(at, at + len(data)) for at, data in sorted(self.early.items())][:3]
        if blocks:
            options = b"\x01\x01" + bytes((5, 2 + 8 * len(blocks)))
            for left, right in blocks:
                options += tcp.advance(self.other_first, left).to_bytes(4, "big")
                options += tcp.advance(self.other_first, right).to_bytes(4, "big")
        ack = len(self.heard) + (1 if self.other_end == len(self.heard) else 0)
        return (
            Segment(
                1,
                2,
                tcp.advance(self.first, start),
                tcp.advance(self.other_first, ack),
                flags,
                60000,
                0,
                0,
                options,
            ),
            self.text[start:end],
        )

    def say(self) -> tuple[Segment, bytes] | None:
        """Something new, if there is anything and Nagle allows."""
        if self.next >= len(self.text):
            return None
        size = min(self.chance.randint(1, self.mss), len(self.text) - self.next)
        if self.nagle and self.una < self.next and size < self.mss:
            return None
        start, self.next = self.next, self.next + size
        return self.segment(start, self.next, ACK | PSH)

    def repeat(self) -> tuple[Segment, bytes] | None:
        """Retransmission: from what is not acknowledged, with boundaries of its own."""
        unsaid_fin = self.closes and self.una <= len(self.text)
        if self.una >= self.next and not unsaid_fin:
            return None
        start = min(self.una, len(self.text))
        end = min(self.next, start + self.chance.randint(1, self.mss))
        fin = FIN if self.closes and end == len(self.text) else 0
        return self.segment(start, end, ACK | PSH | fin)

    @property
    def seen(self) -> int:
        """Where the next thing that it says would stand."""
        return self.next + 1 if self.una > len(self.text) else self.next

    def hear(self, segment: Segment, payload: bytes) -> tuple[Segment, bytes] | None:
        """What arrives; the acknowledgment to send, if one is due."""
        if segment.flags & SYN:
            return None
        assert self.other_first is not None
        acked = tcp.distance(self.first, segment.acknowledgment)
        assert acked <= self.next + 1, "acknowledged what was never said"
        self.una = max(self.una, acked)
        position = tcp.distance(self.other_first, segment.sequence)
        if segment.flags & FIN:
            self.other_end = position + len(payload)
        if payload:
            self.early[position] = max(self.early.get(position, b""), payload, key=len)
        while True:
            ready = [at for at in self.early if at <= len(self.heard)]
            if not ready:
                break
            for at in sorted(ready):
                data = self.early.pop(at)
                overlap = bytes(self.heard[at : at + len(data)])
                assert data[: len(overlap)] == overlap, "a retransmission carries other bytes"
                self.heard += data[len(overlap) :]
        old = position < len(self.heard)
        return self.segment(self.seen, self.seen) if payload or old or segment.flags & FIN else None


class Network:
    """Client and server with a `TcpRewriter` in the middle."""

    _restarts = False

    def __init__(
        self,
        chance: Random,
        listener: Editor,
        client: Peer,
        server: Peer,
        loss: float = 0.0,
        reorder: float = 0.0,
        limit: int = 1 << 16,
        restarts: bool = False,
    ) -> None:
        """`restarts`: the rewriter is replaced by one from its state before each thing that happens to it."""
        self.chance, self.loss, self.reorder = chance, loss, reorder
        self._listener = listener
        self.watch = TcpRewriter(listener, Lines(b"\r\n", 512), limit, hold=1e9)
        self.peers = (client, server)
        self.before: list[tuple[Speaker, Segment, bytes]] = []
        self.after: list[tuple[Speaker, Segment, bytes]] = []
        self.now = 0.0
        self._restarts = restarts
        self._handshake()

    def _handshake(self) -> None:
        client, server = self.peers
        client.other_first, server.other_first = server.first, client.first
        for speaker, peer, flags in (
            (Speaker.CLIENT, client, SYN),
            (Speaker.SERVER, server, SYN | ACK),
        ):
            mss = b"\x02\x04" + peer.mss.to_bytes(2, "big")
            other = self.peers[speaker.other]
            syn = Segment(1, 2, tcp.advance(peer.first, -1), other.first, flags, 60000, 0, 0, mss)
            (sent,) = self.watch.receive(speaker, syn, b"") or []
            assert sent.segment.sequence == syn.sequence
        self.watch.receive(Speaker.CLIENT, *client.segment(0, 0))

    def _put(
        self, queue: list[tuple[Speaker, Segment, bytes]], item: tuple[Speaker, Segment, bytes]
    ) -> None:
        if self.chance.random() < self.loss:
            return
        at = (
            self.chance.randint(0, len(queue))
            if self.chance.random() < self.reorder
            else len(queue)
        )
        queue.insert(at, item)
        if self.chance.random() < self.loss:
            queue.append(item)

    def step(self) -> bool:
        """One thing happens; False if nothing is left to do."""
        if self.after and (not self.before or self.chance.random() < 0.5):
            speaker, segment, payload = self.after.pop(0)
            listener = self.peers[speaker.other]
            assert len(payload) <= max(listener.mss, LEAST_MSS), "larger than the listener takes"
            reply = listener.hear(segment, payload)
            if reply:
                self._put(self.before, (speaker.other, *reply))
            return True
        if self.before:
            self._restart()
            speaker, segment, payload = self.before.pop(0)
            for sent in self._through(speaker, segment, payload):
                self._put(self.after, (sent.speaker, sent.segment, sent.payload))
            for stream in self.watch.streams:
                if stream is not None:
                    stream.check()
            return True
        for speaker in self.chance.sample((Speaker.CLIENT, Speaker.SERVER), 2):
            burst = [
                said
                for _ in range(self.chance.randint(1, 8))
                if (said := self.peers[speaker].say())
            ]
            offloaded = None if burst else self.peers[speaker].repeat()
            for said in burst or ([offloaded] if offloaded else []):
                self._put(self.before, (speaker, *said))
            if burst:
                return True
            if offloaded:
                return self._wait(0.2)
        return self.watch.deadline < inf and self._wait(60)

    def _restart(self) -> None:
        if not self._restarts:
            return
        state = Fields(serialised(self.watch.to_state(self.now)), "rewriter")
        lines = Lines(b"\r\n", 512)
        self.watch = TcpRewriter.from_state(state, self.now, self._listener, lines, unlimited)
        self.watch._hold = 1e9

    def _wait(self, seconds: float) -> bool:
        """Nothing is under way: the timers of the ends run out, and those of the gateway."""
        self._restart()
        self.now += seconds
        if self.now >= self.watch.deadline:
            for sent in self.watch.expire(self.now):
                self._put(self.after, (sent.speaker, sent.segment, sent.payload))
        return True

    def _through(self, speaker: Speaker, segment: Segment, payload: bytes) -> list[Sent]:
        try:
            return self.watch.receive(speaker, segment, payload, now=self.now)
        except StreamFullError:
            return []

    def run(self, most: int = 50_000) -> None:
        for _ in range(most):
            if not self.step():
                return
        raise AssertionError("it never ends")
