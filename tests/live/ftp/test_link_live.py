"""The link, with real transfers and idle times of seconds (with a virtual clock: tests/core)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from demo import cells
from demo.cells import Linked
from demo.gateways import FastPath
from demo.runner import LinkResult, Runner

pytestmark = [pytest.mark.live, pytest.mark.row("6384-12a")]

IDS = [f"{linked.helped.name}, {linked.announce}" for linked in cells.LINKS]
COMPARED = [linked for linked in cells.LINKS if linked.unhelped]


@dataclass
class Session:
    results: dict[Linked, LinkResult]
    fast_path: FastPath
    """What that of the gateway with the helper did meanwhile."""


@pytest.fixture(scope="module")
def session(runner: Runner) -> Session:
    """All at once: each transfer takes three times as long as a connection may be idle."""
    runner.fast_paths.clear()
    results = {result.linked: result for result in runner.links(cells.LINKS)}
    return Session(results, runner.fast_paths.get("gw1", FastPath()))


@pytest.fixture(scope="module")
def results(session: Session) -> dict[Linked, LinkResult]:
    return session.results


@pytest.mark.parametrize("linked", cells.LINKS, ids=IDS)
def test_a_silent_control_connection_outlives_its_transfer_and_then_has_its_idle_time_again(
    results: dict[Linked, LinkResult], linked: Linked
) -> None:
    outcome = results[linked].helped
    assert outcome.works, outcome.transcript
    assert outcome.seconds > cells.SLOW_SECONDS


def test_the_transfers_that_keep_it_alive_go_by_in_the_kernel(session: Session, plane: str) -> None:
    """Four times 1 MB, which come in pieces of 64 kB, and acknowledgments."""
    assert (session.fast_path.offloaded > 150) is plane.startswith("ebpf")


@pytest.mark.parametrize("linked", COMPARED, ids=[f"{each.helped.name}" for each in COMPARED])
def test_without_the_link_the_file_arrives_but_its_end_is_never_heard_of(
    results: dict[Linked, LinkResult], linked: Linked
) -> None:
    outcome = results[linked].unhelped
    assert outcome
    assert "download" in outcome.through, outcome.transcript
    assert not outcome.works, outcome.transcript
