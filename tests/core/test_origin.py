"""What let a flow in, as a value and for people."""

from __future__ import annotations

import pytest

from ipmasq.core.origin import Kind, Origin, origin
from ipmasq.core.policy import Behaviour, Forward, PortRange
from tests.conformance.packets import UDP
from tests.conformance.world import E1, IN1, IN2, OUT1, World


def test_an_origin_says_its_name_and_whether_it_is_a_hairpin():
    assert str(Origin(Kind.FORWARD, "forward web")) == "forward web"
    assert str(Origin(Kind.FORWARD, "forward web", True)) == "hairpin, forward web"


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("is_hairpin", [False, True])
def test_only_an_expectation_is_expected_also_by_a_hairpin(kind: Kind, is_hairpin: bool):
    assert Origin(kind, "any", is_hairpin).is_expected is (kind is Kind.EXPECTATION)


def test_flows_of_one_origin_share_it():
    assert origin(Kind.RULE, "rule 1") is origin(Kind.RULE, "rule 1")


def test_each_kind_of_flow_says_what_let_it_in():
    forward = Forward("web", UDP, None, PortRange(8080, 8080), IN2, 80)
    world = World(forwards=(forward,), filtering=Behaviour.ENDPOINT_INDEPENDENT)
    public = world.udp(IN1, 5000, OUT1, 53).leaves_from(E1)
    world.udp(OUT1, 9, *public)
    world.udp(OUT1, 9, E1, 8080)
    world.udp(IN1, 5001, E1, 8080)
    assert {flow.origin for flow in world.flows} == {
        "masquerade",
        "mapping",
        "forward web",
        "hairpin, forward web",
    }
