"""RFC 5508 (BCP 148): what a NAT does to ICMP."""

from __future__ import annotations

import pytest

from ipmasq.core.policy import Behaviour, Timeouts
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import ACK, SYN
from tests.conformance.world import E1, E2, IN1, IN2, OFF, OUT1, OUT2, ROUTER, World


@pytest.mark.row("5508-1")
def test_two_hosts_with_one_query_id_each_get_their_own_replies():
    world = World()
    one = world.echo(IN1, OUT1, 77).leaves_from(E1)
    two = world.echo(IN2, OUT1, 77).leaves_from(E1)
    assert one.port != two.port
    world.reply(OUT1, *one).reaches(IN1, 77)
    world.reply(OUT1, *two).reaches(IN2, 77)


@pytest.mark.row("5508-1a")
def test_a_query_id_maps_to_one_public_id_for_all_destinations():
    world = World()
    public = world.echo(IN1, OUT1, 77).one.source
    assert world.echo(IN1, OUT2, 77).one.source == public
    world.reply(OUT2, *public).reaches(IN1, 77)


@pytest.mark.row("5508-2", "7857-11")
def test_a_late_reply_passes_within_a_minute():
    world = World()
    public = world.echo(IN1, OUT1, 77).one.source
    world.later(59)
    world.reply(OUT1, *public).reaches(IN1, 77)
    world.later(62)
    assert world.flows == []
    assert list(world.engine.mappings()) == []


@pytest.mark.row("5508-2a")
def test_the_time_of_a_query_is_configurable():
    world = World(timeouts=Timeouts(icmp=90))
    world.echo(IN1, OUT1, 77)
    world.later(89)
    assert len(world.flows) == 1
    world.later(2)
    assert world.flows == []


@pytest.mark.row("5508-3")
def test_an_error_with_a_wrong_checksum_is_dropped_in_silence():
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53).one
    good = packets.error(OUT1, E1, 3, 3, out.data)
    world.send(good).reaches(IN1)
    bad = bytearray(good)
    bad[22] ^= 1
    world.send(bytes(bad)).is_dropped(Reason.BAD_CHECKSUM)


@pytest.mark.row("5508-3a")
def test_an_error_whose_quoted_header_is_corrupt_is_dropped():
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53).one
    world.error(OUT1, E1, 3, 3, out.data).reaches(IN1)
    corrupt = bytearray(out.data)
    corrupt[8] ^= 1
    world.error(OUT1, E1, 3, 3, bytes(corrupt)).is_dropped(Reason.BAD_CHECKSUM)


@pytest.mark.row("5508-3b")
def test_options_of_the_quoted_header_are_skipped():
    world = World()
    record_route = b"\x07\x0b\x04" + bytes(8) + b"\0"
    out = world.udp(IN1, 5000, OUT1, 53, options=record_route).one
    assert out.data[0] == 0x48
    arrived = world.error(ROUTER, E1, 11, 0, out.data).reaches(IN1)
    assert arrived.quoted is not None
    assert arrived.quoted.source == (IN1, 5000)
    assert arrived.quoted.destination == (OUT1, 53)


@pytest.mark.row("5508-3c")
def test_the_quoted_transport_checksum_is_not_judged():
    world = World()
    out = world.tcp(IN1, 5000, OUT1, 80, SYN, seq=4).one
    garbage = out.data[:36] + b"\xde\xad" + out.data[38:]
    passage = world.send(packets.error(ROUTER, E1, 11, 0, garbage), intact=False)
    assert passage.reason is Reason.TRANSLATED
    arrived = passage.one.data
    assert arrived[16:20] == IN1
    assert packets.checksum(arrived[20:]) == 0
    assert arrived[28 + 12 : 28 + 16] == IN1


@pytest.mark.row("5508-4", "3022-4.3", "5382-9")
@pytest.mark.parametrize("quoted_bytes", [28, 40, 60])
@pytest.mark.parametrize("code", [0, 1, 3, 4, 13])
def test_an_error_from_outside_quotes_what_the_inside_host_had_sent(quoted_bytes: int, code: int):
    world = World()
    sent = packets.tcp(IN1, 5000, OUT1, 80, SYN, seq=77, payload=b"x" * 20)
    out = world.send(sent).one
    error = packets.error(ROUTER, E1, 3, code, out.data[:quoted_bytes], rest=1400)
    arrived = world.send(error).reaches(IN1)
    assert (arrived.kind, arrived.code, arrived.rest) == (3, code, (1400).to_bytes(4, "big"))
    assert arrived.source.address == ROUTER
    # As the inside host had sent it, but for the hop (which the gateway did count).
    expected = packets.tcp(IN1, 5000, OUT1, 80, SYN, seq=77, payload=b"x" * 20, ttl=63)
    assert arrived.payload == expected[:quoted_bytes]


@pytest.mark.row("5508-4")
def test_an_error_about_no_mapping_is_dropped():
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53).one
    world.error(ROUTER, E1, 3, 3, out.data).reaches(IN1)
    about_another = packets.udp(E1, out.source.port ^ 1, OUT1, 53)
    # E1 is the gateway's own too: such an error may be about a flow of the host itself, and is its.
    assert world.error(ROUTER, E1, 3, 3, about_another).reason is Reason.HOST
    alone = World(own=frozenset())
    alone.error(ROUTER, E1, 3, 3, about_another).is_dropped(Reason.ICMP_UNRELATED)


@pytest.mark.row("5508-5")
@pytest.mark.parametrize("sender", [IN1, IN2])
def test_an_error_from_inside_comes_from_the_public_address(sender: bytes):
    world = World()
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    came = world.udp(OUT1, 53, *public).reaches(IN1, 5000)
    seen = world.error(sender, OUT1, 3, 3, came.data).reaches(OUT1)
    assert seen.source.address == E1
    assert (seen.kind, seen.code) == (3, 3)
    assert seen.quoted is not None
    assert seen.quoted.source == (OUT1, 53)
    assert seen.quoted.destination == public


@pytest.mark.row("5508-6")
@pytest.mark.parametrize(("wait", "alive"), [(9, True), (11, False)])
def test_an_error_about_a_query_neither_refreshes_nor_ends_it(wait: int, alive: bool):
    world = World()
    asked = world.echo(IN1, OUT1, 77).one
    world.later(50)
    arrived = world.error(ROUTER, E1, 11, 0, asked.data).reaches(IN1)
    assert arrived.quoted is not None
    assert arrived.quoted.source == (IN1, 77)
    world.later(wait)
    assert bool(world.flows) is alive


@pytest.mark.row("5508-7", "5508-7a", "7857-12")
@pytest.mark.parametrize("pool", [(E1,), (E1, E2)])
def test_an_error_about_a_hairpinned_packet_shows_no_inside_address_of_the_other(pool: tuple):
    world = World(filtering=Behaviour.ENDPOINT_INDEPENDENT, public=pool)
    two = world.udp(IN2, 5000, OUT1, 53).one.source
    came = world.udp(IN1, 5000, *two).reaches(IN2, 5000)
    arrived = world.error(IN2, came.source.address, 3, 3, came.data).reaches(IN1)
    assert IN2 not in arrived.addresses
    assert arrived.source.address == two.address
    assert arrived.quoted is not None
    assert arrived.quoted.source == (IN1, 5000)
    assert arrived.quoted.destination == two


@pytest.mark.row("5508-10a")
def test_a_route_can_be_traced_with_udp_icmp_and_tcp():
    world = World()
    probes = [
        packets.udp(IN1, 5000, OUT1, 33434),
        packets.echo(IN1, OUT1, 5),
        packets.tcp(IN1, 5000, OUT1, 80, SYN, seq=9),
    ]
    for probe in probes:
        out = world.send(probe).one
        arrived = world.error(ROUTER, E1, 11, 0, out.data[:28]).reaches(IN1)
        assert arrived.source.address == ROUTER
        assert arrived.quoted is not None
        assert arrived.quoted.data[12:16] == IN1


@pytest.mark.row("5508-10a")
def test_a_packet_whose_time_to_live_ends_here_goes_no_further():
    world = World()
    world.udp(IN1, 5000, OUT1, 33434, ttl=2).reaches(OUT1)
    world.udp(IN1, 5000, OUT1, 33434, ttl=1).is_dropped(Reason.TTL_EXPIRED)


@pytest.mark.row("5508-10c", "5508-11")
@pytest.mark.parametrize("kind", [4, 5, 9, 10, 13, 14, 15, 16, 17, 18, 40, 255])
def test_other_icmp_is_dropped_with_a_reason_in_both_directions(kind: int):
    world = World(own=frozenset())
    out = world.udp(IN1, 5000, OUT1, 53).one
    world.error(OUT1, E1, 3, 3, out.data).reaches(IN1)
    world.send(packets.icmp(OUT1, E1, kind, 0, bytes(4), out.data)).is_dropped()
    world.send(packets.icmp(IN1, OUT1, kind, 0, bytes(4), out.data)).is_dropped(Reason.UNSUPPORTED)


@pytest.mark.row("5382-10", "5382-9")
@pytest.mark.parametrize("stage", ["opening", "established", "closing"])
@pytest.mark.parametrize(
    ("kind", "code"), [(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (12, 0)]
)
def test_no_icmp_message_ends_a_connection_in_any_state(stage: str, kind: int, code: int):
    world = World()
    talk = Conversation(world, Endpoint(IN1, 5000), Endpoint(OUT1, 80), opened=stage != "opening")
    out = talk.syn() if stage == "opening" else talk.say(CLIENT, b"data").one
    if stage == "closing":
        out = talk.finish(SERVER) and talk.finish(CLIENT).one
    state = world.flow.state
    world.error(ROUTER, E1, kind, code, out.data).reaches(IN1)
    assert world.flow.state == state
    world.later(200)
    assert world.flow.state == state
    again = packets.tcp(IN1, 5000, OUT1, 80, ACK, seq=1001, ack=9001)
    assert world.send(again).one.source == out.source


@pytest.mark.row("A-27")
def test_an_injected_error_that_does_not_fit_the_connection_reaches_nobody():
    world = World(own=frozenset(), public=(E1, E2))
    talk = Conversation(world, Endpoint(IN1, 5000), Endpoint(OUT1, 80))
    out = talk.say(CLIENT, b"GET /").one
    own = out.source.address
    world.error(OFF, own, 3, 4, out.data, rest=552).reaches(IN1)
    other = E2 if own == E1 else E1
    world.error(OFF, other, 3, 4, out.data, rest=552).is_dropped(Reason.ICMP_UNRELATED)
    for step in range(1, 16):
        seq = (1001 + (step << 28)) % 2**32
        guessed = packets.tcp(*out.source, OUT1, 80, ACK, seq=seq)
        world.error(OFF, own, 3, 4, guessed, rest=68).is_dropped(Reason.ICMP_UNRELATED)
    datagram = packets.udp(*out.source, OUT1, 80)
    world.error(OFF, own, 3, 3, datagram).is_dropped(Reason.ICMP_UNRELATED)
    talk.say(SERVER, b"200 OK").reaches(IN1, 5000)
    assert talk.heard(CLIENT) == b"200 OK"


def test_an_error_that_claims_to_come_from_the_inside_is_dropped_outside():
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53).one
    forged = packets.error(IN2, E1, 3, 3, out.data)
    world.send(forged, Side.OUTSIDE).is_dropped(Reason.SPOOFED)
