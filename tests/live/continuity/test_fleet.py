"""Three gateways share the work, and what one of them has served goes on at another one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.continuity.fleet import SHARES, Fleet, fleet
from tests.live.continuity.pair import eventually
from tests.live.continuity.traffic import RATE, Datagrams, Everything, ftp_server
from tests.live.resets import no_resets

pytestmark = pytest.mark.live


@pytest.fixture(params=["ebpf-tc"])
def three(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """Each gateway serves its share, and follows the others."""
    with fleet(tmp_path) as made:
        made.start_store()
        for name, share in zip(made.names, SHARES, strict=True):
            made.start_gateway(name, request.param)
            made.give(name, share)
        yield made


def others_follow(made: Fleet, share: str, but: str) -> bool:
    return all(made.has_all(name, share) for name in made.names if name != but)


@pytest.mark.row("HA-15")
def test_what_a_lost_member_served_goes_on_at_another_one_beside_its_own(three: Fleet) -> None:
    with ftp_server(three, "out") as out, ftp_server(three, "in") as inside:
        own = Datagrams(three, 5010, "near", SHARES["one"][1])
        traffic = Everything(three, out, inside)
        traffic.run_for(RATE)
        eventually(lambda: others_follow(three, "two", "gw2"))
        with no_resets(three, ("in", "out", "near")):
            three.cut("gw2")
            three.kill("gw2")
            before = own.answered
            three.give("gw1", "two")
            assert own.answered > before, "its own flows go on while it takes over"
            traffic.run_for(RATE)
        traffic.check()
        own.check()
    assert three.serves("gw1", "one")
    assert three.serves("gw1", "two")
    members = three.status("gw3")["members"]
    assert {each["name"]: each["serves"] for each in members}["gw1"] == ["one", "two"]


@pytest.mark.row("HA-15")
@pytest.mark.parametrize("three", ["tun"], indirect=True)
def test_members_that_leave_and_come_move_no_flow_of_others(three: Fleet) -> None:
    own = Datagrams(three, 5010, "near", SHARES["one"][1])
    given = Datagrams(three)
    eventually(lambda: min(own.answered, given.answered) > 150)
    before = json.dumps(sorted(each["public"] for each in three.flows("gw1")))
    eventually(lambda: three.has_all("gw3", "two"))
    three.take("gw2", "two")
    three.give("gw3", "two")
    three.kill("gw2")
    heard = given.answered
    eventually(lambda: given.answered > heard + 50)
    three.start_gateway("gw2")
    eventually(lambda: three.has_all("gw2", "two"))
    time.sleep(0.5)
    assert three.serves("gw1", "one")
    assert three.serves("gw3", "two")
    three.take("gw3", "two")
    three.give("gw2", "two")
    assert json.dumps(sorted(each["public"] for each in three.flows("gw1"))) == before
    given.check()
    own.check()
