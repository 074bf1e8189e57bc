"""When flows, expectations and helpers come and go, in the awkward moments."""

from __future__ import annotations

import pytest

from ipmasq.core.events import ExpectationEnded, FlowClosed, FlowFinished, FlowRevived, HelperBound
from ipmasq.core.policy import Behaviour, Timeouts
from ipmasq.core.reasons import Reason
from ipmasq.wire.addresses import Endpoint
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import ACK, FIN, RST, SYN
from tests.conformance.world import E1, IN1, OUT1, World
from tests.core.announcer import announced, here, use


def test_a_flow_whose_state_changed_within_its_first_second_ends_once():
    world = World()
    syn = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=100).one
    world.tcp(OUT1, 80, *syn.source, RST | ACK, ack=101).reaches(IN1, 4000)
    world.later(241)
    assert [closed.reason for closed in world.events(FlowClosed)] == [Reason.RESET]


def test_an_expectation_and_its_control_flow_that_are_due_together_both_end():
    world = World(helpers=(use(expectation_life=100),), timeouts=Timeouts(tcp_established=100))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    assert world.expectations == 1
    world.later(101)
    assert world.flows == []
    assert [ended.reason for ended in world.events(ExpectationEnded)] == [Reason.MASTER_GONE]


@pytest.mark.row("A-36")
def test_a_host_that_sends_to_its_own_public_endpoint_opens_nothing():
    world = World(filtering=Behaviour.ENDPOINT_INDEPENDENT)
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    world.udp(IN1, 5000, *public).is_dropped()
    assert len(world.flows) == 1
    world.udp(OUT1, 53, *public).reaches(IN1, 5000)


def test_a_helper_loaded_again_watches_from_the_next_quiet_moment_on():
    world = World(helpers=(use(),))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    world.engine.unload_helper("announcer", world.now)
    talk.say(CLIENT, here(Endpoint(IN1, 5001)))
    assert talk.heard(SERVER).endswith(here(Endpoint(IN1, 5001)))
    passage = talk.send(CLIENT, ACK, b"NOOP\r\n")
    talk.ends[CLIENT].said += 6
    world.engine.load_helper(use(), world.now)
    assert len(world.events(HelperBound)) == 1, "bytes are in flight"
    talk.deliver(CLIENT, passage)
    talk.say(CLIENT, b"NOOP\r\n")
    talk.say(CLIENT, here(Endpoint(IN1, 5002)))
    assert len(world.events(HelperBound)) == 2
    public = announced(talk.heard(SERVER).splitlines(True)[-1])
    assert public.address == E1
    world.tcp(OUT1, 20, *public, SYN).reaches(IN1, 5002)


def test_a_line_that_is_completed_after_a_fin_can_no_longer_be_changed():
    world = World(helpers=(use(),))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    line = here(Endpoint(IN1, 5000))
    talk.say(CLIENT, line[:-1], FIN | ACK)
    assert talk.heard(SERVER) == line[:-1]
    talk.send(CLIENT, ACK, line[-1:] + b"NOOP\r\n", seq=talk.ends[CLIENT].said - 1)
    assert world.expectations == 0
    talk.send(SERVER, ACK)


def test_a_connection_that_is_over_is_reported_once_and_again_after_it_was_revived():
    """RFC 7857, 2.2: data after a reset. Its public port belongs to it again."""
    world = World()
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 80))
    talk.say(CLIENT, b"one")
    assert world.events(FlowFinished) == []
    talk.send(CLIENT, RST | ACK)
    talk.send(CLIENT, RST | ACK)
    assert [each.flow for each in world.events(FlowFinished)] == [world.flow.id]
    assert world.events(FlowRevived) == []
    talk.say(CLIENT, b"two")
    assert [each.flow for each in world.events(FlowRevived)] == [world.flow.id]
    talk.send(CLIENT, RST | ACK)
    assert len(world.events(FlowFinished)) == 2
