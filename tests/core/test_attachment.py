"""Helpers at work: what they wish happens whole or not at all."""

from __future__ import annotations

import pytest

from ipmasq.core import events
from ipmasq.core.helper import Helper, HelperContext
from ipmasq.core.policy import HelperUse, OnFailure
from ipmasq.core.reasons import Reason
from ipmasq.wire import ipv4
from tests.core.conversation import Conversation, policy


def opened(talk: Conversation) -> int:
    return sum(isinstance(event, events.Expected) for event in talk.events)


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Clumsy(Helper):
    """Wishes much, and falls."""

    name = "clumsy"

    def on_line(self, line: bytes, context: HelperContext) -> None:
        if line.startswith(b"FALL"):
            context.expect(context.endpoint(context.speaker)._replace(port=2000))
            context.replace(0, 4, b"RISE")
            raise RuntimeError("oh\nno")
        if line.startswith(b"PASS"):
            raise ValueError(f"what is {line!r}?")
        if line.startswith(b"LONG"):
            raise ValueError("x" * 1_000_000)
        if line.startswith(b"MUTE"):
            raise MuteError
        if line.startswith(b"EACH"):
            context.refuse(repr(line))
        if line.startswith(b"BAD"):
            context.refuse("bad line")
        if line.startswith(b"GOOD"):
            context.replace(0, 4, b"BETTER")


def clumsy(on_failure: OnFailure) -> Conversation:
    use = HelperUse("clumsy", Clumsy, ipv4.TCP, frozenset((21,)), True, on_failure)
    return Conversation(policy(helpers=(use,))).open()


@pytest.mark.row("A-15")
@pytest.mark.parametrize("line", [b"FALL down\r\n", b"BAD thing\r\n"])
def test_of_a_helper_that_fails_or_refuses_nothing_happens_and_the_flow_goes_on(
    line: bytes,
) -> None:
    talk = clumsy(OnFailure.PASS)
    assert talk.client(line).payload == line
    assert opened(talk) == 0
    assert not list(talk.engine.expectations())
    assert talk.client(b"GOOD day\r\n").payload == b"BETTER day\r\n"
    (view,) = talk.engine.helpers()
    assert view.failed + sum(view.refused.values()) == 1


@pytest.mark.row("A-15")
@pytest.mark.parametrize("line", [b"FALL down\r\n", b"BAD thing\r\n"])
def test_with_the_policy_drop_the_flow_is_cut_off(line: bytes) -> None:
    talk = clumsy(OnFailure.DROP)
    assert talk.client(b"GOOD day\r\n").payload == b"BETTER day\r\n"
    for _ in range(3):
        outcome = talk.client(line)
        assert outcome.reason is Reason.HELPER_DROP
        assert not outcome.through
    assert talk.server(b"200 hello\r\n").reason is Reason.HELPER_DROP


def test_the_event_of_a_failure_says_which_helper_on_what_bytes_and_why_in_one_line() -> None:
    talk = clumsy(OnFailure.PASS)
    talk.client(b"FALL down\r\n")
    (failed,) = [e for e in talk.events if isinstance(e, events.HelperFailed)]
    assert (failed.helper, failed.line, failed.error) == (
        "clumsy",
        b"FALL down\r\n",
        "RuntimeError: oh",
    )


class Careless(Helper):
    """Rewrites what it did not await."""

    name = "careless"

    def may_rewrite(self, speaker: object, partial: bytes) -> bool:
        return False

    def on_line(self, line: bytes, context: HelperContext) -> None:
        context.replace(0, 1, b"long")


def test_what_has_been_forwarded_cannot_be_replaced() -> None:
    use = HelperUse("careless", Careless, ipv4.TCP, frozenset((21,)), True)
    talk = Conversation(policy(helpers=(use,))).open()
    assert talk.client(b"ab").payload == b"ab"
    assert talk.client(b"c\r\n").payload == b"c\r\n"
    (refused,) = [e for e in talk.events if isinstance(e, events.Refused)]
    assert "already been forwarded" in refused.reason
    assert talk.client(b"abc\r\n").payload == b"longbc\r\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"PASS secret\r\n", "ValueError"),
        (b"LONG way\r\n", "ValueError: " + "x" * 500),
        (b"MUTE\r\n", "MuteError: it cannot say what is wrong"),
    ],
)
def test_what_a_helper_raises_is_told_without_a_password_and_in_few_words(line: bytes, said: str):
    talk = clumsy(OnFailure.PASS)
    assert talk.client(line).payload == line
    (failed,) = (event for event in talk.events if isinstance(event, events.HelperFailed))
    assert failed.error == said


def test_reasons_are_counted_apart_as_long_as_they_are_few():
    talk = clumsy(OnFailure.PASS)
    for number in range(100):
        talk.client(b"EACH %d\r\n" % number)
    (view,) = talk.engine.helpers()
    assert len(view.refused) == 65
    assert sum(view.refused.values()) == 100
