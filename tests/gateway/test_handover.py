"""The messages of a handover: each comes whole, and the end of the other process is one, too."""

from __future__ import annotations

import pytest

from ipmasq.gateway.handover import ENDED, READY, Link, Message


def test_messages_come_one_by_one_with_their_values():
    one, other = Link.pair()
    one.say(READY, {"facts": 1})
    one.say("go")
    assert [other.hear(5), other.hear(5)] == [Message(READY, {"facts": 1}), Message("go")]
    one.close()
    other.close()


def test_the_end_and_nonsense_are_heard_as_the_end():
    one, other = Link.pair()
    for text in (b"nonsense", b"[1]", b'"ready"', b"7", b"\xff"):
        one._end.send(text)
        assert other.hear(5) == ENDED
    one.close()
    assert other.hear(5) == ENDED
    with pytest.raises(OSError, match="Broken pipe"):
        other.say("go")
    other.close()


@pytest.mark.parametrize("patience", [0.0, 0.05])
def test_who_says_nothing_is_not_waited_for_longer(patience: float):
    one, other = Link.pair()
    with pytest.raises(TimeoutError):
        other.hear(patience)
    one.close()
    other.close()
