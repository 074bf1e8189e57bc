"""The store is a primary and a replica that sentinels watch: nothing is lost when the roles of these two change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.continuity.pair import NAMES, REMOTE, eventually
from tests.live.continuity.traffic import Fetches, ftp_server
from tests.live.continuity.watched import Beats, Watched, overlap, watched
from tests.live.resets import no_resets

pytestmark = pytest.mark.live


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Watched]:
    """The first gateway is active, the other one follows; three sentinels watch r1 and r2."""
    with watched(tmp_path) as made:
        made.start_servers("a-password-of-the-sentinels")
        for name in NAMES:
            made.start_gateway(name, "tun")
        eventually(made.are_watched)
        made.activate("gw1")
        eventually(lambda: made.follows("gw2"))
        yield made


@pytest.mark.row("HA-14")
def test_a_transfer_goes_on_while_the_primary_dies_and_then_the_gateway(three: Watched) -> None:
    three.kill("sentinel-st")  # two of three are left
    with ftp_server(three, "out") as out, no_resets(three):
        beats, fetches = Beats(three, "in", 6001), Fetches(three, "in", REMOTE, out)
        fetches.go_on()
        generation = three.status("gw1")["generation"]
        three.kill("r1")
        eventually(lambda: three.primary("r2") == "r2")
        eventually(lambda: three.status("gw1")["trouble"] == "" == three.status("gw2")["trouble"])
        assert [three.status(each)["role"] for each in NAMES] == ["active", "standby"]
        assert {three.status(each)["generation"] for each in NAMES} == {generation}
        came = len(beats.came)
        eventually(lambda: len(beats.came) > came)
        fetches.go_on()
        eventually(lambda: three.follows("gw2"))
        three.cut("gw1")
        three.kill("gw1")
        three.activate("gw2")
        assert three.status("gw2")["generation"] > generation
        fetches.go_on()
        fetches.end()
        beats.end()


@pytest.mark.row("HA-13")
def test_a_former_primary_gives_no_lease_to_whoever_reaches_only_that(three: Watched) -> None:
    first, second = Beats(three, "in", 6001), Beats(three, "near", 6002)
    eventually(lambda: len(first.came) > 50)
    sides = ("gw1", "r1"), ("gw2", "r2", "st")
    three.part(*sides)
    three.ask("gw2", "ha", "active", "--wait", "0")
    eventually(lambda: len(second.came) > 50)
    generation = three.status("gw2")["generation"]
    role = three.at_server("r1", lambda client: client.role())
    assert role[0] == b"master", "it still believes to be the primary, and takes commands"
    assert three.status("gw1")["role"] == "fenced"
    three.join(*sides)
    eventually(lambda: three.status("gw1")["role"] == "waiting", 40)
    assert three.status("gw2")["role"] == "active"
    assert three.status("gw2")["generation"] == generation, "it has kept the lease"
    first.end()
    second.end()
    assert overlap(first, second) == 0
