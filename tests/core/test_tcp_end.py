"""What is remembered of the headers of one end."""

from __future__ import annotations

import pytest

from ipmasq.core.reasons import Reason
from tests.core.conversation import (
    Conversation,
    Side,
)


@pytest.mark.parametrize("mss", [0, 1, 10, 65535])
@pytest.mark.row("A-39")
def test_no_announced_segment_size_multiplies_packets_or_makes_one_that_is_too_long(
    mss: int,
) -> None:
    talk = Conversation(mss=mss).open()
    talk.hears(Side.OUTSIDE, 0)
    said = talk.client(b"PORT 1", window=60000)
    assert said.reason is Reason.HELD
    data = b"x" * 1300
    outcome = talk.client(data)
    assert len(outcome.verdict.packets) <= 2 + len(data) // 48
    for _ in range(30):
        outcome = talk.client(b"y" * 1400)
        assert len(outcome.verdict.packets) <= 2 + 10_000 // 48
    assert outcome.reason is Reason.TRANSLATED
    assert talk.engine.counts[Reason.FAULT] == 0
