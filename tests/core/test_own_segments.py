"""What the gateway sends of its own accord."""

from __future__ import annotations

import pytest

from ipmasq.core.direction import HOLD, MOST_REPEATS, REPEAT_AFTER
from ipmasq.core.timers import SOON
from tests.core.conversation import (
    Conversation,
    Side,
)
from tests.core.rewriting import own


@pytest.mark.parametrize("begun", [b"P", b"PORT 10", b"EPRT |1|"])
def test_a_line_that_does_not_go_on_leaves_after_two_seconds(begun: bytes) -> None:
    talk = Conversation().open()
    talk.client(begun)
    talk.later(HOLD - 1)
    assert own(talk) == []
    talk.later(2)
    assert own(talk) == [(0, begun)]


def test_what_was_acknowledged_early_is_repeated_as_soon_as_a_sender_would() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10")
    talk.client(b",0,0,2,4,1\r\n")
    talk.later(REPEAT_AFTER - 0.01)
    assert own(talk) == []
    talk.later(0.01 + SOON)
    ((at, offloaded),) = own(talk)
    assert (at, offloaded[:7]) == (0, b"PORT 20")


@pytest.mark.row("SEQ-3")
def test_what_was_acknowledged_early_is_repeated_until_it_arrives() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10")
    talk.later(HOLD + 1)
    assert own(talk) == [(0, b"PORT 10")]  # and is lost
    talk.later(1)
    assert own(talk) == [(0, b"PORT 10")]
    talk.hears(Side.OUTSIDE, 7)
    for _ in range(100):
        talk.later(5)
    assert own(talk) == []


def test_a_listener_that_never_acknowledges_is_given_up() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10")
    sent = []
    for _ in range(200):
        talk.later(2)
        sent += own(talk)
    assert len(sent) == 1 + MOST_REPEATS
