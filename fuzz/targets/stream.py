"""The stream rewriter alone: two model TCPs, a bad network, a listener that rewrites, and a stranger.

The models (`tests/core/peers.py`) cut, repeat, lose and reorder; the stranger writes segments whose numbers are
far from the connection, so nothing of them may matter. In the end both have heard what the other said, rewritten.
"""

from __future__ import annotations

from random import Random
from typing import cast

from fuzz.choices import Choices
from ipmasq.core.speaker import Speaker
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, FIN, PSH, RST, Segment
from tests.core.odd_packets import data_options
from tests.core.peers import Editor, Network, Peer

MEASURED = (
    "ipmasq.core.tcp_rewriter",
    "ipmasq.core.cutting",
    "ipmasq.core.own_segments",
    "ipmasq.core.renumbering",
    "ipmasq.core.runs",
    "ipmasq.core.stream",
    "ipmasq.core.framing",
    "ipmasq.wire.tcp",
)
LONGEST = 250
FIRSTS = (0, 1000, (1 << 32) - 20, (1 << 31) - 5)
SEGMENT_SIZES = (5, 20, 60, 536)
WORDS = (
    b"E 10,0,0,2,4,1",
    b"EPRT",
    b"E",
    b"",
    b"x",
    b"NOOP",
    b"E" * 60,
    b"y" * 80,
    b"a\rb\nc",
    b"STOP",
)
FAR = (1 << 27, 1 << 28, -1 << 27, 1 << 30, 1 << 31)
"""Distances beyond any window."""
STEPS = 8_000
KEPT = 1 << 14


class Luck(Choices):
    """When the fuzzer's bytes have run out, chance goes on: with zeros a model would say one byte at a time."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._rest = Random(len(data))

    def __call__(self, n: int) -> int:
        return super().__call__(n) if self.at < len(self.data) else self._rest.randrange(n)


def one_input(data: bytes) -> None:
    choices = Luck(data)
    chance = cast(Random, choices)
    first, size = choices.pick(FIRSTS), choices.pick(SEGMENT_SIZES)
    nagle, forged = choices(2) == 1, choices(4) == 0
    loss, reorder = choices.pick((0.0, 0.1, 0.3)), choices.pick((0.0, 0.3, 0.8))
    kind = choices(256)
    texts = [text(choices), text(choices)]
    one = Peer(chance, first, texts[0], size, nagle)
    other = Peer(chance, (first + (1 << 31)) % (1 << 32), texts[1], size, nagle)
    editor = Editor(lambda line: rewritten(line, kind))
    network = Network(chance, editor, one, other, loss, reorder, limit=KEPT)
    run(network, choices, forged)
    one.closes = other.closes = True
    run(network, choices, forged)
    stopped = any(line == b"STOP\r\n" for _, line, _ in editor.lines)
    for said, listener in ((texts[0], other), (texts[1], one)):
        if stopped:
            assert bytes(listener.heard).count(b"y") <= 3 * said.count(b"y") + 3
        else:
            assert bytes(listener.heard) == edited(said, kind)
        assert listener.other_end == len(listener.heard)


def run(network: Network, choices: Choices, forged: bool) -> None:
    """Until nothing is left to do. What is lost is repeated: the network grows better when the bytes run out."""
    for _ in range(STEPS):
        if choices.left <= 0:
            network.loss = network.reorder = 0.0
        if forged and choices.left > 0 and choices(4) == 0:
            forge(network, choices)
        if not network.step():
            return
    raise AssertionError("it never ends")


def forge(network: Network, choices: Choices) -> None:
    """A stranger's segment, which the engine does not believe: nothing may be remembered of it."""
    speaker = Speaker(choices(2))
    me, other = network.peers[speaker], network.peers[speaker.other]
    segment = Segment(
        1,
        2,
        tcp.advance(me.first, me.next + choices.pick(FAR)),
        tcp.advance(other.first, other.next + choices.pick(FAR)),
        choices.pick((ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, FIN, 0)),
        choices(1 << 16),
        0,
        0,
        data_options(choices, other.first),
    )
    network.watch.renumbered(speaker, segment)


def text(choices: Choices) -> bytes:
    return b"".join(choices.pick(WORDS) + b"\r\n" for _ in range(choices(6)))


def rewritten(line: bytes, kind: int) -> bytes:
    """Lines that begin with E become something of another length, which depends on `kind`."""
    if not line.startswith(b"E") or len(line) < 4:
        return line
    number = (sum(line) + kind) % 9
    return b"e" + (line[1:-2] * 3)[: max(0, len(line) - 5 + number)] + b"\r\n"


def edited(said: bytes, kind: int) -> bytes:
    lines = said.split(b"\r\n")
    return b"".join(rewritten(line + b"\r\n", kind) for line in lines[:-1]) + lines[-1]
