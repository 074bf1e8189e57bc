"""Segments that leave, in pieces that the listener and the path take."""

from __future__ import annotations

import pytest

from tests.core.conversation import (
    ACK,
    FIN,
    PSH,
    RST,
    URG,
    Conversation,
    Side,
)
from tests.core.rewriting import PORT, rewritten


@pytest.mark.row("SEQ-2", "3027-4.1b")
def test_a_full_segment_that_grows_is_split() -> None:
    talk = Conversation(mss=536).open()
    filler = b"NOOP\r\n" * 80
    text = filler + PORT
    assert len(text) <= 536
    text = b"NOOP " + b"x" * (536 - len(text) - 7) + b"\r\n" + text
    assert len(text) == 536
    outcome = talk.client(text)
    assert len(outcome.spans[0][1]) == 536
    assert len(outcome.spans) == 2
    assert all(each.size <= 576 for each in outcome.through)
    assert outcome.spans[1][0] == 536
    assert outcome.payload.startswith(text[:-20])
    assert outcome.through[0].segment.flags & PSH == 0
    assert outcome.through[1].segment.flags & PSH


@pytest.mark.row("SEQ-8")
@pytest.mark.parametrize("flag", [FIN, RST])
def test_fin_and_rst_after_a_rewrite_stand_at_the_exact_place(flag: int) -> None:
    talk = Conversation().open()
    after, _ = rewritten(talk)
    ((start, payload),) = talk.client(b"", flags=ACK | flag).spans
    assert (start, payload) == (len(after), b"")


@pytest.mark.row("SEQ-8")
def test_a_fin_that_carries_the_rewritten_line_follows_it() -> None:
    talk = Conversation().open()
    outcome = talk.client(PORT, flags=ACK | PSH | FIN)
    assert outcome.one.segment.flags & FIN
    talk.said[Side.INSIDE] += 1
    talk.heard[Side.OUTSIDE] = len(outcome.payload) + 1
    assert talk.acked(talk.server(b"").one, Side.INSIDE) == len(PORT) + 1


@pytest.mark.row("6384-5urg", "A-19")
@pytest.mark.parametrize(("pointer", "moved"), [(3, True), (19, True), (22, True), (0, False)])
def test_the_urgent_pointer_moves_with_the_bytes(pointer: int, moved: bool) -> None:
    talk = Conversation().open()
    text = PORT + b"ABOR\r\n"
    outcome = talk.client(text, flags=ACK | PSH | URG, urgent=pointer)
    seen = outcome.one.segment
    if not moved:
        assert not seen.flags & URG
        return
    delta = len(outcome.payload) - len(text)
    assert seen.flags & URG
    assert seen.urgent == (pointer if pointer <= 5 else pointer + delta)
