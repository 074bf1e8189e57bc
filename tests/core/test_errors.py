"""ICMP errors about inspected connections, and quotes that say too little or too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.policy import Action, Rule
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint, to_address, to_network
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import ACK
from tests.conformance.world import E1, IN1, IN2, OUT1, ROUTER, World
from tests.core.announcer import here, use


def shifted() -> Conversation:
    """An inspected connection in which the server hears more, or fewer, bytes than the client says."""
    world = World(helpers=(use(),))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    assert talk.ends[SERVER].awaited != talk.ends[CLIENT].said
    return talk


@pytest.mark.row("5508-4", "3022-4.3")
@pytest.mark.parametrize("quoted_bytes", [28, 60])
def test_a_quote_after_a_rewrite_says_what_its_sender_had_said(quoted_bytes: int):
    talk = shifted()
    out = talk.send(CLIENT, ACK, b"NOOP and some more bytes\r\n").one
    assert out.seq != talk.ends[CLIENT].said
    arrived = talk.world.error(ROUTER, E1, 11, 0, out.data[:quoted_bytes]).reaches(IN1)
    assert arrived.quoted is not None
    assert arrived.quoted.seq == talk.ends[CLIENT].said
    assert arrived.quoted.source == talk.ends[CLIENT].me


def test_an_mtu_that_a_router_reports_bounds_what_is_sent_next_but_not_below_576():
    for mtu, most in ((700, 700), (68, 576)):
        talk = shifted()
        out = talk.send(CLIENT, ACK, b"x" * 1000).one
        talk.world.error(ROUTER, E1, 3, 4, out.data, rest=mtu).reaches(IN1)
        again = talk.send(CLIENT, ACK, b"x" * 1000)
        assert len(again.packets) == -(-1000 // (most - 40))
        assert max(len(facts.data) for facts in again.packets) <= most


@given(size=st.integers(0, 60))
def test_a_quote_that_is_too_short_to_tell_the_flow_goes_nowhere(size: int):
    world = World(own=frozenset())
    out = world.udp(IN1, 5000, OUT1, 53, payload=bytes(30)).one
    passage = world.send(packets.error(ROUTER, E1, 3, 3, out.data[:size]))
    if size < 28:
        passage.is_dropped(Reason.ICMP_UNRELATED)
    else:
        assert passage.reaches(IN1).payload[:20][12:16] == IN1


@given(quoted=st.binary(max_size=60), side=st.sampled_from(Side))
def test_any_bytes_may_be_quoted(quoted: bytes, side: Side):
    world = World(own=frozenset())
    world.udp(IN1, 5000, OUT1, 53)
    source, destination = ((IN1, OUT1), (OUT1, E1))[side]
    world.send(packets.error(source, destination, 3, 3, quoted), side).is_dropped(
        Reason.ICMP_UNRELATED
    )


@pytest.mark.row("5508-3d")
def test_extensions_behind_the_quote_stay_as_they_are():
    """RFC 4884: the quote is padded to 128 bytes, an MPLS object follows."""
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53, payload=b"x").one
    mpls = bytes.fromhex("2000dfff0008010103e81101")
    padded = out.data + bytes(128 - len(out.data)) + mpls
    arrived = world.send(
        packets.error(ROUTER, E1, 11, 0, padded, rest=32 << 16), intact=False
    ).one.data
    assert arrived[16:20] == IN1
    assert packets.checksum(arrived[20:]) == 0
    assert arrived[28 + len(out.data) :] == padded[len(out.data) :]
    packets.read(arrived[28 : 28 + len(out.data)])


def test_an_error_about_a_reply_goes_to_the_one_that_replied():
    world = World()
    asked = world.echo(IN1, OUT1, 77).one
    reply = world.reply(OUT1, *asked.source).reaches(IN1, 77)
    seen = world.error(IN1, OUT1, 3, 1, reply.data).reaches(OUT1)
    assert seen.quoted is not None
    assert seen.quoted.destination == asked.source
    assert seen.source.address == E1


BRANCH = to_address("192.168.7.7")
PASSES = Rule(Action.PASS, destination=(to_network("192.168.0.0/16"),))


@pytest.mark.row("5508-4", "4787-12b")
def test_an_error_about_a_flow_that_passes_without_translation_passes_too():
    """Path MTU discovery, port unreachable and traceroute work through a `pass` rule as they do without."""
    world = World(rules=(PASSES,))
    passed = world.udp(IN1, 5000, BRANCH, 53, payload=bytes(30)).one
    for kind, code in ((3, 4), (3, 3), (11, 0)):
        error = world.error(ROUTER, IN1, kind, code, passed.data)
        assert error.reason is Reason.PASSED
        assert error.reaches(IN1).payload[:20] == passed.data[:20]
    back = packets.udp(BRANCH, 53, IN1, 5000, payload=bytes(30))
    assert world.error(IN1, BRANCH, 3, 3, back).reason is Reason.PASSED


def test_between_inside_hosts_errors_pass():
    world = World()
    sent = packets.udp(IN1, 5000, IN2, 53, payload=bytes(30))
    assert world.error(IN2, IN1, 3, 3, sent).reason is Reason.PASSED


@pytest.mark.row("A-27")
def test_an_error_about_a_flow_that_would_not_pass_or_to_another_than_its_sender_goes_nowhere():
    world = World(rules=(PASSES,))
    never = packets.udp(IN1, 5000, OUT1, 53, payload=bytes(30))
    world.error(ROUTER, IN1, 3, 4, never).is_dropped(Reason.ICMP_UNRELATED)
    passed = packets.udp(IN1, 5000, BRANCH, 53, payload=bytes(30))
    world.error(ROUTER, IN2, 3, 4, passed).is_dropped(Reason.ICMP_UNRELATED)
    world.error(BRANCH, IN1, 3, 4, packets.udp(OUT1, 1, IN1, 2)).is_dropped(Reason.ICMP_UNRELATED)
