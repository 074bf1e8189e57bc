"""One inspected connection through the whole engine: two model TCPs, a bad network, strangers, an operator.

Like `stream`, but in packets: strangers write segments with the right addresses and ports, whose numbers are far from
the connection's, and a helper is loaded again or unloaded in mid-line. Both ends hear all that the other said, every
line as it was or as the helper rewrote it, and both learn that it has ended.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from random import Random
from typing import Any, cast

from fuzz.choices import Choices
from fuzz.targets.stream import FIRSTS, SEGMENT_SIZES, Luck, rewritten, text
from ipmasq.core.helper import TCP as TCP_
from ipmasq.core.helper import Helper, HelperContext, Speaker
from ipmasq.core.policy import HelperUse, Limits
from ipmasq.core.side import Side
from ipmasq.core.tcp_inspector import TcpInspector
from ipmasq.wire import tcp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import ACK, FIN, PSH, RST, SYN, Segment
from tests.conformance import packets
from tests.core.odd_packets import data_options
from tests.core.peers import Network, Peer
from tests.core.stress import INNER, OUTER, POLICY, PUBLIC, UnguardedEngine

MEASURED = (
    *(
        "ipmasq.core.engine",
        "ipmasq.core.window",
        "ipmasq.core.tracking",
        "ipmasq.core.tcp_inspector",
        "ipmasq.core.tcp_rewriter",
        "ipmasq.core.cutting",
        "ipmasq.core.own_segments",
        "ipmasq.core.renumbering",
        "ipmasq.core.runs",
    ),
    *("ipmasq.core.stream", "ipmasq.core.framing", "ipmasq.core.budget", "ipmasq.core.translate"),
)
LONGEST = 300
STEPS = 8_000
FAR = ((1 << 30) + 1, 1 << 31, -(1 << 30) - 1, (1 << 30) + (1 << 29))
"""Distances that no window reaches."""
CLIENT, SERVER = Endpoint(INNER[0], 5000), Endpoint(OUTER[0], 21)
EVERYTHING = SYN | FIN | RST | PSH | ACK


class Rewriter(Helper):
    """Rewrites lines that begin with E."""

    name, ports, orthogonal, max_line = "rewriter", (21,), True, 512

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        return partial[:1] == b"E"

    def on_line(self, line: bytes, context: HelperContext) -> None:
        new = rewritten(line, 0)
        if new != line:
            context.replace(0, len(line) - 2, new[:-2])
        if line == b"STOP\r\n":
            context.stop()


USE = HelperUse("rewriter", Rewriter, TCP_, frozenset((21,)), True)
HERE = replace(POLICY, helpers=(USE,), triggers=(), limits=Limits(stream_bytes=1 << 14))


class NoWatch:
    """Stands for the watch of a flow that has none."""

    streams: tuple[()] = ()
    deadline = inf


class Crossing(Network):
    """Client and server with an engine in the middle."""

    def __init__(
        self, chance: Random, peers: tuple[Peer, Peer], loss: float, reorder: float
    ) -> None:
        self.chance, self.loss, self.reorder, self.peers = chance, loss, reorder, peers
        self.before: list[tuple[Speaker, Segment, bytes]] = []
        self.after: list[tuple[Speaker, Segment, bytes]] = []
        self.now = 0.0
        self.engine = UnguardedEngine(HERE, Random(1).randrange, 0.0)
        self.public = Endpoint(PUBLIC[0], 0)
        self._shake_hands()

    @property
    def watch(self) -> Any:  # type: ignore[override]
        flow = next(iter(self.engine.table.flows.values()), None)
        inspector = flow.inspector if flow is not None else None
        return inspector.rewriter if isinstance(inspector, TcpInspector) else NoWatch

    def _shake_hands(self) -> None:
        client, server = self.peers
        client.other_first, server.other_first = server.first, client.first
        for speaker, me, flags in (
            (Speaker.CLIENT, client, SYN),
            (Speaker.SERVER, server, SYN | ACK),
        ):
            other = self.peers[speaker.other]
            mss = b"\2\4" + me.mss.to_bytes(2, "big")
            numbers = tcp.advance(me.first, -1), other.first if flags & ACK else 0
            syn = Segment(1, 2, *numbers, flags, 60000, 0, 0, mss)
            out = self.engine.receive(self._packet(speaker, syn, b""), Side(speaker), 0.0)
            (one,) = out.packets
            if speaker is Speaker.CLIENT:
                self.public = packets.read(bytes(one.data)).source
        self._through(Speaker.CLIENT, *client.segment(0, 0))

    def _packet(self, speaker: Speaker, segment: Segment, payload: bytes) -> Packet:
        """An inside client's, or an outside server's."""
        ends = (CLIENT, SERVER) if speaker is Speaker.CLIENT else (SERVER, self.public)
        data = packets.tcp(
            *ends[0],
            *ends[1],
            segment.flags,
            segment.sequence,
            segment.acknowledgment,
            payload,
            segment.options,
            segment.window,
        )
        return Packet(bytearray(data))

    def _through(self, speaker: Speaker, segment: Segment, payload: bytes) -> list[Any]:
        packet = self._packet(speaker, segment, payload)
        verdict = self.engine.receive(packet, Side(speaker), self.now)
        return [self._sent(each) for each in verdict.packets] + self._of_its_own()

    def _of_its_own(self) -> list[Any]:
        return [self._sent(packet) for packet, _ in self.engine.outgoing()]

    def _sent(self, packet: Packet) -> Any:
        facts = packets.read(bytes(packet.data))
        assert facts.destination in (CLIENT, SERVER)
        speaker = Speaker.SERVER if facts.destination == CLIENT else Speaker.CLIENT
        segment = tcp.read(bytes(packet.data[20:]))
        assert segment is not None
        return _Sent(speaker, segment, facts.payload)

    def _wait(self, seconds: float) -> bool:
        self.now += seconds
        self.engine.tick(self.now)
        for sent in self._of_its_own():
            self._put(self.after, (sent.speaker, sent.segment, sent.payload))
        return True


class _Sent:
    def __init__(self, speaker: Speaker, segment: Segment, payload: bytes) -> None:
        self.speaker, self.segment, self.payload = speaker, segment, payload


def one_input(data: bytes) -> None:
    choices = Luck(data)
    chance = cast(Random, choices)
    first, size = choices.pick(FIRSTS), choices.pick(SEGMENT_SIZES)
    nagle, forged, operated = choices(2) == 1, choices(2) == 0, choices(4) == 0
    if operated:
        size = 536  # a helper that is loaded later has not seen what the ends said that they take
    loss, reorder = choices.pick((0.0, 0.1, 0.3)), choices.pick((0.0, 0.3, 0.8))
    texts = [text(choices), text(choices)]
    one = Peer(chance, first, texts[0], size, nagle)
    other = Peer(chance, (first + (1 << 31)) % (1 << 32), texts[1], size, nagle)
    crossing = Crossing(chance, (one, other), loss, reorder)
    run(crossing, choices, forged, operated)
    one.closes = other.closes = True
    run(crossing, choices, forged, operated=False)
    for said, listener in ((texts[0], other), (texts[1], one)):
        _is_heard(said, bytes(listener.heard))
        assert listener.other_end == len(listener.heard)
    crossing.engine.check()


def _is_heard(said: bytes, heard: bytes) -> None:
    lines, arrived = said.split(b"\r\n"), heard.split(b"\r\n")
    assert len(lines) == len(arrived)
    for line, after in zip(lines, arrived, strict=True):
        assert after in (line, rewritten(line + b"\r\n", 0)[:-2]), "bytes that nobody said"


def run(crossing: Crossing, choices: Choices, forged: bool, operated: bool) -> None:
    for _ in range(STEPS):
        if choices.left <= 0:
            crossing.loss = crossing.reorder = 0.0
        elif forged and choices(4) == 0:
            forge(crossing, choices)
        elif operated and choices(16) == 0:
            operate(crossing, choices)
        if not crossing.step():
            return
    raise AssertionError("it never ends")


def forge(crossing: Crossing, choices: Choices) -> None:
    """A stranger's segment. Of what goes on because of it, the ends are not told: they know better."""
    speaker = Speaker(choices(2))
    me, other = crossing.peers[speaker], crossing.peers[speaker.other]
    segment = Segment(
        1,
        2,
        tcp.advance(me.first, me.next + choices.pick((*FAR, 0))),
        tcp.advance(other.first, other.next + choices.pick(FAR)),
        choices(256) & EVERYTHING & ~(RST if choices(2) else 0),
        choices(1 << 16),
        0,
        0,
        data_options(choices, other.first),
    )
    if segment.flags & RST and segment.sequence == tcp.advance(me.first, me.next):
        return  # whoever guesses that may end a connection (RFC 5961)
    if segment.flags & SYN and me.closes:
        return  # a client may use its port again, see tests/fuzz/test_found.py
    packet = crossing._packet(speaker, segment, bytes(choices(30)))
    verdict = crossing.engine.receive(packet, Side(speaker), crossing.now)
    assert sum(len(each.data) for each in verdict.packets) <= 200


def operate(crossing: Crossing, choices: Choices) -> None:
    if choices(2) and crossing.engine.helpers():
        crossing.engine.unload_helper("rewriter", crossing.now)
    else:
        crossing.engine.load_helper(USE, crossing.now)
