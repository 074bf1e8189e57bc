"""Another process takes over on request, and the answer says how that has ended."""

from __future__ import annotations

import pytest

from ipmasq.control.answer import Pause
from ipmasq.control.arguments import Nothing
from ipmasq.control.protocol import Kind, RequestError
from ipmasq.control.upgrading import upgrade
from tests.gateway.successors import DIES, TAKES_OVER, Upgrading


class Asking:
    def __init__(self, made: Upgrading | None) -> None:
        self.upgrade = made.upgrade if made else None


def answered(made: Upgrading) -> dict[str, object]:
    """Ask, let the successor take over or fail, and return the answer."""
    answer = upgrade(Asking(made), Nothing())  # type: ignore[arg-type]
    assert next(answer) is Pause.TICK
    made.go_on()
    with pytest.raises(StopIteration) as end:
        next(answer)
    return dict(end.value.value)


def test_the_answer_names_the_process_that_has_taken_over():
    made = Upgrading(TAKES_OVER)
    try:
        found = answered(made)
        assert found["process"] == made.upgrade.successor
        assert found["waited"] == round(made.upgrade.waited, 4)
    finally:
        made.close()


def test_a_successor_that_fails_is_told_to_whoever_has_asked():
    made = Upgrading(DIES)
    with pytest.raises(RequestError, match="exit code 3") as error:
        answered(made)
    assert error.value.kind is Kind.REFUSED
    made.close()


def test_each_of_several_mistakes_is_told_apart():
    made = Upgrading("say('failed', 'tun.toml:20: no\\ntun.toml:21: \\x1b[2J'); hear()")
    with pytest.raises(RequestError, match=r"goes on$") as error:
        answered(made)
    assert error.value.details == ("tun.toml:20: no", "tun.toml:21: \x1b[2J")
    made.close()


def test_what_hinders_it_is_told():
    made = Upgrading("", ["/nowhere/ipmasq"])
    with pytest.raises(RequestError, match="no process can be started: No such file"):
        next(upgrade(Asking(made), Nothing()))  # type: ignore[arg-type]
    made.lent.__class__ = type("Hindered", (type(made.lent),), {"hindrance": "nothing is kept"})
    with pytest.raises(RequestError, match="nothing is kept"):
        next(upgrade(Asking(made), Nothing()))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="does not know how it was started"):
        next(upgrade(Asking(None), Nothing()))  # type: ignore[arg-type]
    made.close()
