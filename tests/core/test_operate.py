"""What an operator does to a running engine, and what it does to live flows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipmasq.core.events import (
    FlowClosed,
    ForwardAdded,
    ForwardRemoved,
    HelperReleased,
    PolicyApplied,
)
from ipmasq.core.policy import Action, Behaviour, Forward, OnFailure, PortRange, Rule, Timeouts
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint, to_network
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import SYN, TCP, UDP
from tests.conformance.world import E1, E2, IN1, IN2, OUT1, OUT2, World
from tests.core.announcer import Announcer, NewerAnnouncer, announced, here, use

WEB = Forward("web", TCP, None, PortRange(80, 89), IN1, 8080)


def talk_in(world: World) -> Conversation:
    return Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))


# -- reload


def test_a_reload_keeps_every_flow_that_is_still_allowed():
    world = World()
    kept = world.udp(IN1, 5000, OUT1, 53).one.source
    dropped = world.udp(IN1, 5000, OUT1, 54).one.source
    assert world.change(rules=(Rule(Action.DROP, destination_ports=(PortRange(54, 54),)),)) == 1
    world.udp(OUT1, 53, *kept).reaches(IN1, 5000)
    assert dropped == kept
    world.udp(IN1, 5000, OUT1, 54).is_dropped(Reason.RULE_DROP)
    assert [closed.reason for closed in world.events(FlowClosed)] == [Reason.POLICY]
    assert [applied.closed for applied in world.events(PolicyApplied)] == [1]


def test_a_reload_with_the_same_policy_changes_nothing():
    world = World(helpers=(use(),), forwards=(WEB,))
    talk = talk_in(world)
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    before = world.flows, list(world.engine.expectations()), list(world.engine.mappings())
    assert world.change() == 0
    assert before == (world.flows, list(world.engine.expectations()), list(world.engine.mappings()))
    assert world.events(HelperReleased) == []


def test_a_host_that_is_no_longer_inside_loses_its_flows():
    world = World()
    world.udp(IN1, 5000, OUT1, 53)
    world.udp(IN2, 5000, OUT1, 53)
    assert world.change(inside=(to_network("10.0.0.2/32"),)) == 1
    assert {flow.inside.address for flow in world.flows} == {IN1}


def test_flows_and_expectations_of_an_address_that_is_gone_end_and_new_ones_use_the_new_one():
    world = World(helpers=(use(),))
    talk_in(world).say(CLIENT, here(Endpoint(IN1, 5000)))
    world.udp(IN1, 5000, OUT1, 53).leaves_from(E1)
    assert world.expectations == 1
    assert world.change(public=(E2,)) == 2
    assert world.flows == []
    assert world.expectations == 0
    assert {closed.reason for closed in world.events(FlowClosed)} == {Reason.ADDRESS_GONE}
    world.udp(IN1, 5000, OUT1, 53).leaves_from(E2)


def test_a_live_flow_keeps_its_port_when_the_range_changes_and_new_ones_get_others():
    world = World()
    old = world.udp(IN1, 5000, OUT1, 53).one.source
    assert world.change(ports=PortRange(2000, 2001)) == 0
    assert world.udp(IN1, 5000, OUT1, 53).one.source == old
    assert world.udp(IN1, 5001, OUT1, 53).leaves_from(E1).port in (2000, 2001)
    world.udp(OUT1, 53, *old).reaches(IN1, 5000)


def test_changed_ranges_that_overlap_never_give_a_port_twice():
    world = World(ports=PortRange(61000, 61003))
    seen = {world.udp(IN1, 5000 + n, OUT1, 53).one.source.port for n in range(3)}
    world.change(ports=PortRange(61001, 61004))
    for n in range(10, 14):
        seen_now = {facts.source.port for facts in world.udp(IN1, 5000 + n, OUT1, 53).packets}
        assert not seen & seen_now
        seen |= seen_now
    assert seen <= set(range(61000, 61005))


def test_another_mapping_behaviour_holds_for_new_flows():
    world = World()
    one = world.udp(IN1, 5000, OUT1, 53).one.source
    world.change(mapping=Behaviour.ADDRESS_AND_PORT_DEPENDENT)
    assert world.udp(IN1, 5000, OUT1, 53).one.source == one
    assert world.udp(IN1, 5000, OUT2, 53).one.source != one


@pytest.mark.row("4787-5b", "5382-5a")
def test_times_changed_while_running_hold_for_live_flows():
    world = World()
    world.udp(IN1, 5000, OUT1, 53)
    talk_in(world)
    world.change(timeouts=Timeouts(udp=10, tcp_established=20))
    world.later(11)
    assert [flow.protocol for flow in world.flows] == [TCP]
    world.change(timeouts=Timeouts(udp=10, tcp_established=100))
    world.later(80)
    assert len(world.flows) == 1
    world.later(21)
    assert world.flows == []


def test_without_a_public_address_nothing_lives_and_with_one_again_all_works():
    world = World()
    world.udp(IN1, 5000, OUT1, 53)
    assert world.change(public=()) == 1
    world.udp(IN1, 5000, OUT1, 53).is_dropped(Reason.NO_PORTS)
    world.change(public=(E1,))
    world.udp(IN1, 5000, OUT1, 53).leaves_from(E1)


# -- forwards


def test_a_forward_that_is_added_works_at_once_and_is_reported():
    world = World()
    world.tcp(OUT1, 5, E1, 81, SYN)
    assert world.flows == []
    world.engine.add_forward(WEB, world.now)
    world.tcp(OUT1, 5, E1, 81, SYN).reaches(IN1, 8081)
    assert world.engine.forwards() == (WEB,)
    assert [added.name for added in world.events(ForwardAdded)] == ["web"]


def test_a_forward_that_is_removed_leaves_its_live_flows_alone():
    world = World(forwards=(WEB,))
    talk = Conversation(world, Endpoint(OUT1, 4000), Endpoint(E1, 80))
    world.engine.remove_forward("web", world.now)
    talk.say(CLIENT, b"question")
    talk.say(SERVER, b"answer")
    assert (talk.heard(SERVER), talk.heard(CLIENT)) == (b"question", b"answer")
    assert not world.tcp(OUT1, 4001, E1, 80, SYN).packets or len(world.flows) == 1
    assert [removed.name for removed in world.events(ForwardRemoved)] == ["web"]
    with pytest.raises(KeyError):
        world.engine.remove_forward("web", world.now)


@pytest.mark.parametrize(
    "other",
    [
        replace(WEB, ports=PortRange(1000, 1000)),
        replace(WEB, name="other"),
        replace(WEB, name="other", ports=PortRange(89, 99)),
        replace(WEB, name="other", ports=PortRange(1, 80)),
        replace(WEB, name="other", public=E1, ports=PortRange(85, 86)),
    ],
)
def test_a_forward_that_overlaps_or_has_a_taken_name_is_refused(other: Forward):
    world = World(forwards=(WEB,))
    with pytest.raises(ValueError, match="forward"):
        world.engine.add_forward(other, world.now)
    assert world.engine.forwards() == (WEB,)


@pytest.mark.parametrize(
    "other",
    [
        replace(WEB, name="other", ports=PortRange(90, 99)),
        replace(WEB, name="other", protocol=UDP),
    ],
)
def test_forwards_that_do_not_overlap_stand_beside_each_other(other: Forward):
    world = World(forwards=(WEB,))
    world.engine.add_forward(other, world.now)
    assert len(world.engine.forwards()) == 2


# -- closing


def test_a_closed_flow_is_gone_with_its_mapping_and_expectations():
    world = World(helpers=(use(),))
    talk_in(world).say(CLIENT, here(Endpoint(IN1, 5000)))
    number = world.flow.id
    assert world.engine.close(number, world.now)
    assert not world.engine.close(number, world.now)
    assert world.flows == []
    assert world.expectations == 0
    assert list(world.engine.mappings()) == []
    assert [closed.reason for closed in world.events(FlowClosed)] == [Reason.OPERATOR]


# -- helpers


def test_an_unloaded_helper_leaves_its_connections_as_shifted_as_they_are():
    world = World(helpers=(use(),))
    talk = talk_in(world)
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    public = announced(talk.heard(SERVER))
    world.engine.unload_helper("announcer", world.now)
    assert world.expectations == 0
    world.tcp(OUT1, 20, *public, SYN).is_dropped()
    talk.say(CLIENT, here(Endpoint(IN1, 5001)) + b"and more\r\n")
    talk.say(SERVER, b"fine\r\n")
    assert talk.heard(SERVER).endswith(here(Endpoint(IN1, 5001)) + b"and more\r\n")
    assert talk.heard(CLIENT) == b"fine\r\n"
    assert world.engine.helpers() == ()
    assert [released.reason for released in world.events(HelperReleased)] == [
        Reason.HELPER_UNLOADED
    ]
    with pytest.raises(KeyError):
        world.engine.unload_helper("announcer", world.now)


def test_a_data_flow_outlives_the_helper_that_expected_it():
    world = World(helpers=(use(),))
    talk = talk_in(world)
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    data = Conversation(world, Endpoint(OUT1, 20), announced(talk.heard(SERVER)))
    world.engine.unload_helper("announcer", world.now)
    data.say(CLIENT, b"a file")
    assert data.heard(SERVER) == b"a file"
    assert [flow.links for flow in world.flows] == [1, 0]


def test_newer_code_goes_on_with_the_state_of_the_older():
    world = World(helpers=(use(),))
    talk = talk_in(world)
    talk.say(CLIENT, b"one\r\ntwo\r\nCOUNT\r\n")
    world.engine.load_helper(use(make=NewerAnnouncer), world.now)
    talk.say(CLIENT, b"COUNT\r\n")
    (view,) = world.engine.helpers()
    assert view.refused == {"4 lines": 1}
    assert (view.bound, view.watching) == (1, 1)
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    assert world.expectations == 1


def test_a_helper_loaded_into_a_live_connection_watches_it_from_the_next_line_on():
    world = World()
    talk = talk_in(world)
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    assert talk.heard(SERVER) == here(Endpoint(IN1, 5000))
    world.engine.load_helper(use(), world.now)
    talk.say(CLIENT, b"end of the line in which it was loaded\r\n")
    talk.say(CLIENT, here(Endpoint(IN1, 5001)))
    public = announced(talk.heard(SERVER).splitlines(keepends=True)[-1])
    world.tcp(OUT1, 20, *public, SYN).reaches(IN1, 5001)


class Broken(Announcer):
    def __init__(self) -> None:
        raise RuntimeError("no")


def test_a_helper_that_cannot_even_begin_harms_no_connection():
    world = World(helpers=(use(make=Broken),))
    talk = talk_in(world)
    talk.say(CLIENT, b"hello\r\n")
    assert talk.heard(SERVER) == b"hello\r\n"
    assert world.engine.helpers()[0].failed == 1
    world.engine.load_helper(use(), world.now)
    world.engine.load_helper(use(make=Broken), world.now)
    talk.say(CLIENT, b"hello again\r\n")
    assert talk.heard(SERVER) == b"hello\r\nhello again\r\n"


@pytest.mark.parametrize("word", [b"FAIL", b"EVIL"])
@pytest.mark.parametrize("policy", OnFailure)
def test_a_helper_that_fails_or_refuses_does_as_the_operator_chose(word: bytes, policy: OnFailure):
    world = World(helpers=(use(on_failure=policy),))
    talk = talk_in(world)
    talk.say(CLIENT, word + b"\r\n")
    passage = talk.send(CLIENT, 0x18, b"more\r\n")
    if policy is OnFailure.PASS:
        assert talk.heard(SERVER) == word + b"\r\n"
        assert passage.packets
    else:
        assert talk.heard(SERVER) == b""
        passage.is_dropped(Reason.HELPER_DROP)


def test_a_reload_with_other_ports_or_without_a_helper_takes_effect():
    world = World(helpers=(use("announcer", 21),))
    talk = talk_in(world)
    world.change(helpers=(use("announcer", 2021),))
    assert world.engine.helpers()[0].ports == (2021,)
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    assert world.expectations == 1, "a watched connection goes on with the newer helper"
    Conversation(world, Endpoint(IN2, 4000), Endpoint(OUT1, 2021)).say(
        CLIENT, here(Endpoint(IN2, 5000))
    )
    assert world.expectations == 2
    world.change(helpers=())
    assert world.expectations == 0
    assert world.engine.helpers() == ()


def test_a_helper_for_udp_that_is_loaded_later_reads_earlier_and_later_flows():
    world = World()
    world.udp(IN1, 5000, OUT1, 53)
    world.engine.load_helper(replace(use("dns", 53), protocol=UDP), world.now)
    world.udp(IN1, 5001, OUT1, 53).leaves_from(E1)
    world.engine.check()
    assert [flow.helper for flow in world.flows] == ["dns", "dns"]


def test_a_hairpinned_flow_that_was_expected_is_inspected_by_no_helper_loaded_later():
    forward = Forward("ftp", TCP, None, PortRange(21, 21), IN2, 21)
    world = World(forwards=(forward,), helpers=(use(),))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(E1, 21))
    talk.say(CLIENT, here(Endpoint(IN1, 6000)))
    (expectation,) = world.engine.expectations()
    world.tcp(IN2, 20, *expectation.public, SYN).reaches(IN1, 6000)
    control, data = world.flows
    assert data.origin == f"hairpin, expectation of flow {control.id}"
    assert world.engine.close(control.id, world.now)
    world.engine.load_helper(use("later", 6000), world.now)
    (data,) = world.flows
    assert data.helper is None
    told = world.engine.explain(
        TCP, Endpoint(IN2, 20), Endpoint(*expectation.public), Side.INSIDE, world.now
    )
    assert {each.reason for each in told.helpers} == {"an expected flow is not inspected"}
