"""What helpers announce: held while it is decided, expected once it is forwarded, ended with a reason."""

from __future__ import annotations

from ipmasq.core.events import ExpectationEnded, ExpectationMissed, Expected
from ipmasq.core.policy import PortRange
from ipmasq.core.reasons import Reason
from ipmasq.wire.addresses import Endpoint
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import ACK, SYN
from tests.conformance.world import IN1, OUT1, OUT2, World
from tests.core.announcer import announced, here, use


def talking(**policy: object) -> tuple[World, Conversation]:
    world = World(helpers=(use(),), **policy)
    return world, Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))


def ended(world: World) -> list[Reason]:
    return [event.reason for event in world.events(ExpectationEnded)]


def test_an_announcement_that_is_forwarded_is_expected_at_the_endpoint_that_it_names():
    world, talk = talking()
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    public = announced(talk.heard(SERVER))
    (expected,) = world.events(Expected)
    assert (expected.announced, expected.public) == (Endpoint(IN1, 5000), public)
    assert expected.until == world.now + use().expectation_life
    world.tcp(OUT1, 20, *public, SYN).reaches(IN1, 5000)
    assert ended(world) == [Reason.MET]


def test_the_same_endpoint_announced_again_replaces_what_was_expected_and_keeps_its_port():
    world, talk = talking()
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    first, second = (announced(line) for line in talk.heard(SERVER).splitlines(True))
    assert first == second
    assert world.expectations == 1
    assert ended(world) == [Reason.REPLACED]


def test_the_oldest_of_a_flow_that_has_as_many_as_it_may_is_replaced_and_frees_its_port():
    most = use().expectations_per_flow
    world, talk = talking()
    for number in range(most + 2):
        talk.say(CLIENT, here(Endpoint(IN1, 5000 + number)))
    assert world.expectations == most
    assert ended(world) == [Reason.REPLACED] * 2
    # One mapping for each of them, and that of the control flow.
    assert len(world.engine.table.mappings) == most + 1


def test_an_announcement_for_which_there_is_no_port_is_refused_and_holds_nothing():
    world, talk = talking(data_ports=PortRange(50000, 50000))
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    talk.say(CLIENT, here(Endpoint(IN1, 5001)))
    assert talk.heard(SERVER).endswith(here(Endpoint(IN1, 5001))), "it passes as it is"
    assert world.expectations == 1
    assert len(world.engine.table.mappings) == 2


def test_all_that_a_flow_has_announced_ends_with_it():
    world, talk = talking()
    for port in (5000, 5001):
        talk.say(CLIENT, here(Endpoint(IN1, port)))
    world.engine.close(world.flow.id, world.now)
    assert ended(world) == [Reason.MASTER_GONE] * 2
    assert len(world.engine.table.mappings) == 0
    world.engine.check()


def test_a_connection_from_another_address_than_the_expected_one_is_reported_once():
    world, talk = talking()
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    public = announced(talk.heard(SERVER))
    (flow,) = world.events(Expected)
    for port in (20, 21):
        assert world.tcp(OUT2, port, *public, SYN).reason is Reason.FILTERED
    (missed,) = world.events(ExpectationMissed)
    assert (missed.flow, missed.public, missed.peer) == (flow.flow, public, OUT1)
    assert missed.source == Endpoint(OUT2, 20)
    # The expected one still comes, and what is announced next is reported again.
    world.tcp(OUT1, 20, *public, SYN).reaches(IN1, 5000)
    talk.say(CLIENT, here(Endpoint(IN1, 5001)))
    public = announced(talk.heard(SERVER).splitlines(True)[-1])
    world.tcp(OUT2, 22, *public, SYN)
    assert [each.source.port for each in world.events(ExpectationMissed)] == [20, 22]


def test_what_does_not_open_a_flow_and_what_nobody_expects_is_not_reported():
    world, talk = talking()
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    public = announced(talk.heard(SERVER))
    world.tcp(OUT2, 20, *public, ACK)
    world.tcp(OUT1, 20, *public, SYN)
    world.tcp(OUT2, 20, *public, SYN)
    assert not world.events(ExpectationMissed)
