"""One outage is told once."""

from __future__ import annotations

from collections.abc import Callable

from ipmasq.gateway.outage import EFFECTS, SETTLED, STAYS, Outage
from ipmasq.gateway.serving import Role


def told(trouble_at: Callable[[float], str], seconds: int = 60) -> list[tuple[float, str]]:
    """What is told, and when, if it is looked at ten times a second."""
    outage, moments = Outage(), (step / 10 for step in range(10 * seconds))
    found = ((now, outage.look(trouble_at(now), now)) for now in moments)
    return [(now, text) for now, text in found if text is not None]


def test_reasons_that_alternate_are_one_outage():
    def trouble(now: float) -> str:
        if not 10 <= now < 40:
            return ""
        return "no route" if now % 3 < 0.5 else "silent"

    assert [text for _, text in told(trouble)] == ["silent", ""]


def test_reasons_that_alternate_faster_than_they_settle_are_told_all_the_same():
    (first,) = told(lambda now: f"reason {int(10 * now) % 4}")
    assert first[0] == SETTLED


def test_another_reason_that_stays_is_told_once():
    found = told(lambda now: "silent" if now < 20 else "its memory is full")
    assert found == [(SETTLED, "silent"), (20 + STAYS, "its memory is full")]


def test_what_is_over_in_a_moment_and_a_moment_without_trouble_are_not_told():
    assert told(lambda now: "silent" if 10 <= now < 10.5 else "") == []
    assert len(told(lambda now: "" if 10 <= now < 10.5 else "silent")) == 1


def test_what_follows_is_known_of_every_role():
    assert set(EFFECTS) == set(Role)
    assert all("forwards nothing" in EFFECTS[role] for role in (Role.FENCED, Role.WAITING))
