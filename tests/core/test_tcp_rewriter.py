"""Whatever the network does, both ends hear exactly what the other said, as rewritten."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.peers import Editor, Network, Peer


def longer_or_shorter(line: bytes) -> bytes:
    """`E...` lines become something of another length that depends on their content."""
    if not line.startswith(b"E") or len(line) < 4:
        return line
    number = sum(line) % 7
    return b"e" + (line[1:-2] * 3)[: max(0, len(line) - 4 + number)] + b"\r\n"


def edited(text: bytes, until: int = 1 << 30) -> bytes:
    out, stopped = b"", False
    for line in text.split(b"\r\n")[:-1]:
        line += b"\r\n"
        out += line if stopped else longer_or_shorter(line)
        stopped |= line == b"STOP\r\n"
    return out + text.split(b"\r\n")[-1]


words = st.sampled_from(
    [b"E 10,0,0,2,4,1", b"EPRT", b"E", b"", b"x", b"NOOP", b"E" * 60, b"y" * 600, b"a\rb\nc"]
)


def texts_of(most: int) -> st.SearchStrategy[bytes]:
    lines = st.lists(words, max_size=most)
    return lines.map(lambda each: b"".join(line + b"\r\n" for line in each))


texts, short_texts = texts_of(8), texts_of(3)


@pytest.mark.row("SEQ-1", "SEQ-3", "SEQ-4", "SEQ-5", "SEQ-6", "SEQ-9", "SEQ-10", "A-17", "A-18")
@given(
    seed=st.integers(0, 1 << 32),
    client=texts,
    server=texts,
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    reorder=st.sampled_from([0.0, 0.3, 0.8]),
    mss=st.sampled_from([5, 20, 60, 536]),
    nagle=st.booleans(),
    first=st.sampled_from([0, 1000, (1 << 32) - 20, (1 << 31) - 5]),
)
def test_both_ends_hear_exactly_what_was_said_as_rewritten(
    seed: int,
    client: bytes,
    server: bytes,
    loss: float,
    reorder: float,
    mss: int,
    nagle: bool,
    first: int,
) -> None:
    chance = Random(seed)
    one = Peer(chance, first, client, mss, nagle)
    other = Peer(chance, (first + (1 << 31)) % (1 << 32), server, mss, nagle)
    network = Network(chance, Editor(longer_or_shorter), one, other, loss, reorder)
    network.run()
    one.closes = other.closes = True
    network.run()
    assert bytes(other.heard) == edited(client)
    assert bytes(one.heard) == edited(server)
    assert other.other_end == len(other.heard)
    assert one.other_end == len(one.heard)


@pytest.mark.row("A-18", "SEQ-1")
def test_ten_thousand_edits_on_one_connection_leave_every_byte_right() -> None:
    chance = Random(7)
    lines = [b"E %d,%s" % (n, b"9" * (n * 7 % 23)) for n in range(10_000)]
    text = b"".join(line + b"\r\n" for line in lines)
    one, other = Peer(chance, (1 << 32) - 50_000, text, 300), Peer(chance, 3, b"", 300)
    network = Network(chance, Editor(longer_or_shorter), one, other, 0.02, 0.1, limit=1 << 20)
    network.run(2_000_000)
    assert bytes(other.heard) == edited(text)
    stream = network.watch.streams[0]
    assert stream is not None
    assert len(stream._edits) < 1000
    assert len(stream._kept) < 20_000


@given(
    seed=st.integers(0, 1 << 32),
    before=short_texts,  # what a step costs grows with what is kept
    after=short_texts,
    loss=st.sampled_from([0.0, 0.2]),
    mss=st.sampled_from([5, 100]),
)
def test_a_rewriter_that_is_replaced_at_every_step_loses_nothing(
    seed: int, before: bytes, after: bytes, loss: float, mss: int
) -> None:
    chance = Random(seed)
    text = before + b"STOP\r\n" + after
    one, other = Peer(chance, (1 << 32) - 9, text, mss), Peer(chance, 9, b"E 1,2\r\n", mss)
    network = Network(chance, Editor(longer_or_shorter), one, other, loss, 0.2, restarts=True)
    network.run()
    assert bytes(other.heard) == edited(text)
