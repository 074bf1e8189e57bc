"""Real servers and clients through `ipmasq run`: each direction with each form of announcement.

`make demo` plays more of the same (both ports, every client everywhere, 64 MiB) and shows it as a table.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import pytest

from demo import cells
from demo.cells import Announce, Cell
from demo.runner import Result, Runner
from demo.session import Outcome

pytestmark = pytest.mark.live

STANDARD = [cell for cell in cells.MATRIX if cell.port == cells.STANDARD_PORT]
OTHER = [replace(cell, clients=("curl",)) for cell in cells.MATRIX if cell.port == cells.OTHER_PORT]
MORE = [replace(cell, size=min(cell.size, cells.MIB)) for cell in cells.MORE]
ALL = [*STANDARD, *OTHER, *MORE]
NEEDING = [cell for cell in ALL if cell.needs_helper]
NOT_NEEDING = [cell for cell in ALL if not cell.needs_helper]

Results = dict[str, Result]


@pytest.fixture(scope="module")
def results(runner: Runner) -> Results:
    """All cells played once, first with the helper, then without it, by the same two gateways."""
    return {result.cell.label: result for result in runner.cells(ALL)}


def named(wanted: list[Cell]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("cell", wanted, ids=[cell.label for cell in wanted])


@named(ALL)
def test_every_client_transfers_whole_files_both_ways_and_lists(
    results: Results, cell: Cell
) -> None:
    helped = results[cell.label].helped
    assert helped
    assert all(outcome.works for outcome in helped), told(helped, lambda each: not each.works)


@named(NEEDING)
def test_without_the_helper_no_data_connection_comes_about(results: Results, cell: Cell) -> None:
    unhelped = results[cell.label].unhelped
    assert unhelped
    assert all(outcome.fails_as_it_must for outcome in unhelped), told(
        unhelped, lambda each: not each.fails_as_it_must
    )


@named(NOT_NEEDING)
def test_what_plain_masquerading_lets_through_does_not_need_the_helper(
    results: Results, cell: Cell
) -> None:
    unhelped = results[cell.label].unhelped
    assert unhelped
    assert all(outcome.works for outcome in unhelped), told(unhelped, lambda each: not each.works)


@pytest.mark.row("6384-5auth")
def test_a_client_that_was_refused_tls_still_has_its_port_rewritten(results: Results) -> None:
    (outcome,) = by_title(results, "AUTH TLS").helped
    assert "AUTH TLS" in outcome.transcript
    assert outcome.works, outcome.transcript


@pytest.mark.row("959-PORT", "2428-EPRT")
@pytest.mark.parametrize("announce", [Announce.PORT, Announce.EPRT])
def test_the_server_is_told_the_public_address(results: Results, announce: Announce) -> None:
    result = results[Cell(cells.CLIENT, announce).label]
    for outcome in result.helped:
        address = {"PORT": '"PORT 203,0,113,1,', "EPRT": '"EPRT |1|203.0.113.1|'}[announce]
        assert address in outcome.transcript, outcome.transcript
        assert "10,0,0,2" not in outcome.transcript.partition("server:")[2]


@pytest.mark.row("959-227", "2428-229")
@pytest.mark.parametrize("announce", [Announce.PASV, Announce.EPSV])
def test_an_old_client_finds_a_server_behind_a_port_forward(
    results: Results, announce: Announce
) -> None:
    result = results[Cell(cells.SERVER, announce).label]
    assert {outcome.client for outcome in result.helped} >= {"lftp", "curl", "tnftp", "ftplib"}
    assert all(outcome.works for outcome in result.helped)


@pytest.mark.row("6384-8", "1123-12b")
def test_the_default_data_port_works_where_filtering_looks_at_ports_and_only_with_the_helper(
    runner: Runner,
) -> None:
    (result,) = runner.cells([cells.STRICT], strict=True)
    assert [outcome.works for outcome in result.helped] == [True], told(result.helped)
    assert [o.fails_as_it_must for o in result.unhelped] == [True], told(result.unhelped)


def by_title(results: Results, start: str) -> Result:
    return next(each for each in results.values() if each.cell.title.startswith(start))


def told(outcomes: list[Outcome], which: object = None) -> str:
    """What pytest shows when it fails: the whole conversation."""
    chosen = [o for o in outcomes if which(o)] if callable(which) else outcomes
    return "\n".join(chain.from_iterable((f"== {o.client}", o.transcript) for o in chosen))
