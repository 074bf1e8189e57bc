"""Inside hosts are told of what is refused, and nobody outside is."""

from __future__ import annotations

from typing import Any

import pytest

from ipmasq.core.policy import Action, Forward, Limits, PortRange, Rule, Timeouts
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import ACK, FIN, PSH, RST, SYN
from tests.conformance.world import E1, GATEWAY, IN1, IN2, OUT1, OUT2, World

FULL: list[tuple[Reason, dict[str, Any]]] = [
    (Reason.NO_PORTS, {"ports": PortRange(61000, 61000)}),
    (Reason.PORT_LIMIT, {"limits": Limits(ports_per_host=1)}),
    (Reason.HOST_LIMIT, {"limits": Limits(flows_per_host=1)}),
    (Reason.TABLE_FULL, {"limits": Limits(flows=1)}),
]


@pytest.mark.row("5508-8", "6888-11a", "6888-11b", "6888-11d")
@pytest.mark.parametrize(("reason", "changes"), FULL)
def test_a_host_for_which_there_is_no_room_is_told_that_the_other_is_unreachable(reason, changes):
    for data in (
        packets.udp(IN1, 6000, OUT2, 53),
        packets.tcp(IN1, 6000, OUT2, 80, SYN, seq=7),
        packets.echo(IN1, OUT2, 9),
    ):
        world = World(**changes)
        first = packets.echo(IN1, OUT1, 1) if data[9] == 1 else packets.udp(IN1, 5000, OUT1, 53)
        first = packets.tcp(IN1, 5000, OUT1, 80, SYN) if data[9] == 6 else first
        assert world.send(first).reason is Reason.TRANSLATED
        refused = world.send(data)
        refused.is_dropped(reason)
        told = refused.answer
        assert (told.kind, told.code) == (3, 1)
        assert (told.source.address, told.destination.address) == (GATEWAY, IN1)
        assert told.quoted is not None
        assert told.data[28:] == data
        assert world.send(first).reason is Reason.TRANSLATED


@pytest.mark.row("5508-8")
def test_a_protocol_that_cannot_be_masqueraded_is_said_to_be_prohibited():
    told = World().send(packets.ip(IN1, OUT1, 47, bytes(40))).answer
    assert (told.kind, told.code) == (3, 13)


def test_a_datagram_in_fragments_that_is_refused_is_told_of_once():
    world = World(public=())
    whole = packets.udp(IN1, 5000, OUT1, 53, bytes(100), fragment=0)
    first, second = packets.fragments(whole, 64)
    assert not world.send(first).answers
    told = world.send(second).answer
    assert (told.kind, told.code) == (3, 1)


@pytest.mark.row("A-25", "5382-4a")
def test_nobody_outside_is_told_anything_whatever_is_there():
    forward = Forward("web", 6, None, PortRange(80, 80), IN2, 80)
    world = World(forwards=(forward,), limits=Limits(flows_per_host=2))
    used = world.tcp(IN1, 5000, OUT1, 80, SYN).one.source.port
    world.udp(IN1, 5000, OUT1, 53)
    for n in range(2):
        world.tcp(OUT1, 5000 + n, E1, 80, SYN)
    for port in (used, used ^ 1, 80):
        for flags in (SYN, ACK, SYN | ACK, FIN | ACK, PSH | ACK, RST, 0):
            passage = world.tcp(OUT2, 4000, E1, port, flags, seq=1, ack=2)
            assert not passage.answers
        assert not world.udp(OUT2, 4000, E1, port).answers
    assert not world.send(packets.ip(OUT2, E1, 47, bytes(40))).answers
    assert world.engine.answered == (0, 0)


def test_what_a_rule_drops_and_what_comes_from_a_wrong_address_is_dropped_in_silence():
    world = World(rules=(Rule(Action.DROP, protocol=17),))
    world.udp(IN1, 5000, OUT1, 53).is_unanswered(Reason.RULE_DROP)
    spoofed = packets.tcp(OUT2, 5000, OUT1, 80, ACK)
    verdict = world.engine.receive(Packet(bytearray(spoofed)), Side.INSIDE, world.now)
    assert (verdict.reason, list(verdict.packets)) == (Reason.SPOOFED, [])


def test_after_a_start_without_state_an_inside_hosts_segments_are_answered_by_a_reset():
    talk = Conversation(World(), Endpoint(IN1, 4000), Endpoint(OUT1, 80))
    talk.say(SERVER, b"welcome")
    client = talk.ends[CLIENT]
    talk.world = World(seed=2)
    for flags, payload in ((ACK, b""), (ACK | PSH, b"hello"), (ACK | FIN, b"")):
        refused = talk.world.send(client.write(flags, payload))
        refused.is_dropped(Reason.NO_FLOW)
        told = refused.answer
        assert (told.source, told.destination) == (client.other, client.me)
        assert (told.flags, told.seq) == (RST, client.awaited % 2**32)
    talk.world.send(client.write(RST)).is_unanswered(Reason.NO_FLOW)


def test_a_published_servers_segments_are_answered_too_and_its_clients_are_not():
    forward = Forward("web", 6, None, PortRange(80, 80), IN2, 8080)
    world = World(forwards=(forward,))
    refused = world.tcp(IN2, 8080, OUT1, 4000, ACK | PSH, seq=5, ack=9, payload=b"page")
    refused.is_dropped(Reason.NO_FLOW)
    told = refused.answer
    assert (told.source, told.destination) == (Endpoint(OUT1, 4000), Endpoint(IN2, 8080))
    assert (told.flags, told.seq) == (RST, 9)
    world.tcp(OUT1, 4000, E1, 80, ACK, seq=9, ack=5).is_unanswered(Reason.NO_FLOW)


def test_while_a_connection_is_known_its_late_segments_are_not_answered_by_the_gateway():
    world = World(timeouts=Timeouts(tcp_closing=240))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 80))
    for end, other in ((CLIENT, SERVER), (SERVER, CLIENT)):
        talk.send(end, ACK | FIN)
        talk.ends[end].said += 1
        talk.send(other, ACK)
    late = talk.ends[CLIENT].write(ACK)
    assert world.send(late).reason is Reason.TRANSLATED
    world.later(300)
    assert world.send(late).answer.flags == RST


def test_a_connection_whose_public_address_is_gone_is_reset_with_its_next_segment():
    talk = Conversation(World(), Endpoint(IN1, 4000), Endpoint(OUT1, 80))
    talk.world.change(public=(OUT2,))
    told = talk.world.send(talk.ends[CLIENT].write(ACK | PSH, b"still there?")).answer
    assert (told.flags, told.seq) == (RST, talk.ends[CLIENT].awaited)


@pytest.mark.row("5508-9")
def test_answers_follow_a_change_of_the_policy():
    world = World(public=())
    assert world.udp(IN1, 5000, OUT1, 53).answers
    world.change(icmp_errors=False)
    world.udp(IN1, 5000, OUT1, 53).is_unanswered(Reason.NO_PORTS)
    assert world.tcp(IN1, 5000, OUT1, 80, ACK).answers
    world.change(resets=False)
    world.tcp(IN1, 5000, OUT1, 80, ACK).is_unanswered(Reason.NO_FLOW)
    assert world.engine.answered == (1, 1)
