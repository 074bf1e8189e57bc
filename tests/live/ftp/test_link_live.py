"""The link, with real transfers and idle times of seconds (with a virtual clock: tests/core)."""

from __future__ import annotations

import pytest

from demo import cells
from demo.cells import Linked
from demo.runner import LinkResult, Runner

pytestmark = [pytest.mark.live, pytest.mark.row("6384-12a")]

IDS = [f"{linked.helped.name}, {linked.announce}" for linked in cells.LINKS]
COMPARED = [linked for linked in cells.LINKS if linked.unhelped]


@pytest.fixture(scope="module")
def results(runner: Runner) -> dict[Linked, LinkResult]:
    """All at once: each transfer takes three times as long as a connection may be idle."""
    return {result.linked: result for result in runner.links(cells.LINKS)}


@pytest.mark.parametrize("linked", cells.LINKS, ids=IDS)
def test_a_silent_control_connection_outlives_its_transfer_and_then_has_its_idle_time_again(
    results: dict[Linked, LinkResult], linked: Linked
) -> None:
    outcome = results[linked].helped
    assert outcome.works, outcome.transcript
    assert outcome.seconds > cells.SLOW_SECONDS


@pytest.mark.parametrize("linked", COMPARED, ids=[f"{each.helped.name}" for each in COMPARED])
def test_without_the_link_the_file_arrives_but_its_end_is_never_heard_of(
    results: dict[Linked, LinkResult], linked: Linked
) -> None:
    outcome = results[linked].unhelped
    assert outcome
    assert "download" in outcome.through, outcome.transcript
    assert not outcome.works, outcome.transcript
