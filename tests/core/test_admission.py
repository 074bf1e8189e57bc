"""What the first packet of a flow may open: rules, forwards, triggers, and who it is for."""

from __future__ import annotations

import pytest

from ipmasq.core.policy import Action, Forward, PortRange, Rule, Trigger
from ipmasq.core.reasons import Reason
from ipmasq.wire.addresses import to_address, to_network
from tests.conformance.packets import SYN, TCP, UDP
from tests.conformance.world import E1, E2, GATEWAY, IN1, IN2, OFF, OUT1, OUT2, World


def test_the_first_rule_that_matches_decides():
    rules = (
        Rule(Action.DROP, source=(to_network("10.0.0.3/32"),), protocol=TCP),
        Rule(Action.MASQUERADE, destination=(to_network("198.51.100.1/32"),)),
        Rule(Action.PASS, protocol=UDP, source_ports=(PortRange(1, 99),)),
        Rule(Action.DROP, destination_ports=(PortRange(20, 29), PortRange(40, 49))),
    )
    world = World(rules=rules)
    world.tcp(IN2, 5000, OUT1, 80, SYN).is_dropped(Reason.RULE_DROP)
    world.udp(IN2, 5000, OUT1, 25).leaves_from(E1)
    world.udp(IN1, 99, OUT2, 25).leaves_from(IN1)
    world.udp(IN1, 100, OUT2, 25).is_dropped(Reason.RULE_DROP)
    world.udp(IN1, 100, OUT2, 30).leaves_from(E1)
    world.udp(IN1, 100, OUT2, 49).is_dropped(Reason.RULE_DROP)


def test_ports_of_a_rule_say_nothing_about_icmp():
    world = World(rules=(Rule(Action.DROP, destination_ports=(PortRange(80, 80),)),))
    world.echo(IN1, OUT1, 1).is_dropped(Reason.RULE_DROP)


def test_the_default_action_applies_where_no_rule_does():
    rule = Rule(Action.MASQUERADE, protocol=UDP)
    world = World(rules=(rule,), default_action=Action.DROP)
    world.udp(IN1, 5000, OUT1, 53).leaves_from(E1)
    world.tcp(IN1, 5000, OUT1, 53, SYN).is_dropped(Reason.RULE_DROP)


def test_inside_hosts_talk_to_each_other_and_to_the_gateway_without_a_flow():
    world = World()
    assert world.udp(IN1, 5000, IN2, 53).reason is Reason.PASSED
    assert world.udp(IN1, 5000, GATEWAY, 53).reason is Reason.HOST
    assert world.udp(IN1, 5000, E1, 53).reason is Reason.HOST
    assert world.udp(OUT1, 5000, E1, 53).reason is Reason.HOST
    assert world.flows == []


@pytest.mark.parametrize("public", [None, E1])
def test_a_range_is_forwarded_port_by_port_to_another_range(public: bytes | None):
    forward = Forward("game", UDP, public, PortRange(7000, 7009), IN2, 9000)
    world = World(public=(E1, E2), forwards=(forward,))
    world.udp(OUT1, 5, E1, 7003).reaches(IN2, 9003)
    assert world.udp(IN2, 9003, OUT1, 5).leaves_from(E1).port == 7003
    assert bool(world.udp(OUT1, 6, E2, 7003).packets) is (public is None)
    world.tcp(OUT1, 5, E1, 7003, SYN)
    assert len(world.flows) == 1 + (public is None)


def test_a_trigger_opens_a_range_for_the_host_that_set_it_off_and_closes_it_again():
    trigger = Trigger("talk", TCP, PortRange(6000, 6000), UDP, PortRange(7000, 7009), 30)
    world = World(own=frozenset(), triggers=(trigger,))
    world.udp(OFF, 1, E1, 7003).is_dropped(Reason.NO_MAPPING)
    world.tcp(IN2, 5000, OUT1, 6000, SYN).leaves_from(E1)
    world.udp(OFF, 1, E1, 7003).reaches(IN2, 7003)
    world.later(29)
    world.udp(OFF, 2, E1, 7003).reaches(IN2, 7003)  # which counts the time anew
    world.later(29)
    world.udp(OFF, 3, E1, 7003).reaches(IN2, 7003)
    world.later(31)
    world.udp(OFF, 4, E1, 7003).is_dropped(Reason.NO_MAPPING)
    world.udp(OFF, 3, E1, 7003).reaches(IN2, 7003)  # a flow that was let in goes on


def test_a_trigger_that_is_set_off_stays_with_its_host_until_its_time_is_over():
    trigger = Trigger("talk", TCP, PortRange(6000, 6000), UDP, PortRange(7000, 7009), 30)
    world = World(own=frozenset(), triggers=(trigger,))
    world.tcp(IN2, 5000, OUT1, 6000, SYN)
    world.tcp(IN1, 5000, OUT1, 6000, SYN)
    world.udp(OFF, 1, E1, 7000).reaches(IN2, 7000)
    world.later(31)
    world.tcp(IN1, 5001, OUT1, 6000, SYN)
    world.udp(OFF, 2, E1, 7000).reaches(IN1, 7000)


def test_what_comes_to_a_public_address_that_is_not_the_hosts_is_never_the_hosts():
    world = World(public=(E2,))
    world.udp(OUT1, 5, E2, 9).is_dropped(Reason.NO_MAPPING)
    world.udp(OUT1, 5, to_address("192.0.2.77"), 9).is_dropped(Reason.UNSOLICITED)
