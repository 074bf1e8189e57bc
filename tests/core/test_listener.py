"""What a listener answers decides how the bytes of a connection are forwarded."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.speaker import Speaker
from tests.core.peers import Editor, Network, Peer
from tests.core.test_tcp_rewriter import edited, longer_or_shorter, texts


def test_a_listener_that_wants_nothing_changed_is_given_every_line_and_the_bytes_pass() -> None:
    chance = Random(3)
    text = b"E 1\r\nNOOP\r\n" * 20
    one, other = Peer(chance, 5, text, 7), Peer(chance, 9, b"", 7)
    editor = Editor(lambda line: line)
    Network(chance, editor, one, other, 0.1, 0.1).run()
    assert bytes(other.heard) == text
    assert [line for _, line, _ in editor.lines] == text.splitlines(True)
    assert {speaker for speaker, _, _ in editor.lines} == {Speaker.CLIENT}


@given(
    seed=st.integers(0, 1 << 32),
    before=texts,
    after=texts,
    loss=st.sampled_from([0.0, 0.2]),
    mss=st.sampled_from([5, 100]),
)
def test_after_a_listener_stops_bytes_are_only_shifted(
    seed: int, before: bytes, after: bytes, loss: float, mss: int
) -> None:
    chance = Random(seed)
    text = before + b"STOP\r\n" + after
    one, other = Peer(chance, 5, text, mss), Peer(chance, 9, b"", mss)
    network = Network(chance, Editor(longer_or_shorter), one, other, loss, 0.2)
    network.run()
    assert bytes(other.heard) == edited(text)
