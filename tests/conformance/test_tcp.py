"""RFC 5382 (BCP 142): what a NAT does to TCP."""

from __future__ import annotations

import pytest

from ipmasq.core.policy import Forward, PortRange, Timeouts
from ipmasq.core.reasons import Reason
from ipmasq.wire.addresses import Endpoint
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import ACK, FIN, PSH, RST, SYN
from tests.conformance.world import E1, IN1, IN2, OUT1, OUT2, World
from tests.core.announcer import use

WEB = Forward("web", packets.TCP, E1, PortRange(80, 80), IN1, 8080)
OPENERS = {
    "from inside": ((), Endpoint(IN1, 4000), Endpoint(OUT1, 80)),
    "from outside": ((WEB,), Endpoint(OUT1, 4000), Endpoint(E1, 80)),
}
both_ways = pytest.mark.parametrize("opener", OPENERS)


def conversation(opener: str, opened: bool = True, **policy: object) -> Conversation:
    forwards, client, server = OPENERS[opener]
    return Conversation(World(forwards=forwards, **policy), client, server, opened=opened)


@pytest.mark.row("5382-1")
def test_one_inside_endpoint_has_one_public_endpoint_for_all_destinations():
    world = World()
    public = world.tcp(IN1, 5000, OUT1, 80, SYN).leaves_from(E1)
    assert world.tcp(IN1, 5000, OUT1, 81, SYN).leaves_from(E1) == public
    assert world.tcp(IN1, 5000, OUT2, 80, SYN).leaves_from(E1) == public


@pytest.mark.row("5382-2")
@both_ways
def test_a_connection_opens_talks_and_closes_whoever_closes_first(opener: str):
    for first in (CLIENT, SERVER):
        talk = conversation(opener)
        talk.say(CLIENT, b"question")
        talk.say(SERVER, b"answer")
        talk.finish(first)
        talk.say(1 - first, b"more after the half-close")
        talk.finish(1 - first)
        assert talk.heard(SERVER) == b"question" + b"more after the half-close" * (first == SERVER)
        assert talk.heard(CLIENT) == b"answer" + b"more after the half-close" * (first == CLIENT)
        assert talk.world.flow.state == "TIME_WAIT"
        assert talk.ends[CLIENT].awaited == talk.ends[SERVER].said
        assert talk.ends[SERVER].awaited == talk.ends[CLIENT].said


@pytest.mark.row("5382-2")
@both_ways
def test_a_fin_may_carry_data_and_both_may_come_at_once(opener: str):
    talk = conversation(opener)
    fins = [talk.send(who, FIN | ACK | PSH, b"last") for who in (CLIENT, SERVER)]
    for who, fin in enumerate(fins):
        talk.ends[who].said += 5
        talk.deliver(who, fin)
    assert talk.heard(CLIENT) == talk.heard(SERVER) == b"last"
    assert talk.world.flow.state == "TIME_WAIT"
    for who in (CLIENT, SERVER):
        assert talk.send(who, ACK).reason is Reason.TRANSLATED


@pytest.mark.row("5382-2")
@both_ways
def test_syn_and_its_answer_may_be_repeated_and_carry_data_and_options(opener: str):
    options = b"\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\1\0\0\0\0\1\3\3\7"
    talk = conversation(opener, opened=False)
    client, server = talk.ends
    seen = [talk.send(CLIENT, SYN, b"early", options=options).one for _ in range(3)]
    assert len({each.source for each in seen}) == 1
    assert {each.payload for each in seen} == {b"early"}
    assert {each.data[40:60] for each in seen} == {options}
    server.me, server.other, server.awaited = seen[0].destination, seen[0].source, seen[0].seq + 6
    client.said += 6
    for _ in range(3):
        answer = talk.send(SERVER, SYN | ACK, options=options).one
        assert (answer.destination, answer.source) == (client.me, client.other)
        assert answer.data[40:60] == options
    server.said += 1
    client.awaited = answer.seq + 1
    talk.say(CLIENT, b"data")
    assert talk.heard(SERVER) == b"data"
    assert len(talk.world.flows) == 1


@pytest.mark.row("5382-2")
@both_ways
def test_sequence_numbers_options_and_windows_are_left_alone(opener: str):
    talk = conversation(opener)
    sack = b"\1\1\5\x0a" + (4000).to_bytes(4, "big") + (4100).to_bytes(4, "big")
    for who in (CLIENT, SERVER):
        sent = talk.ends[who].write(ACK, b"data", options=sack, window=17, seq=2**32 - 2, ack=5)
        arrived = talk.world.send(sent).one
        assert arrived.data[24:36] == sent[24:36]
        assert arrived.data[38:] == sent[38:]


@pytest.mark.row("5382-2")
@both_ways
def test_a_pair_of_endpoints_that_has_been_closed_may_be_used_again_at_once(opener: str):
    talk = conversation(opener)
    talk.finish(CLIENT)
    talk.finish(SERVER)
    world, (_, client, server) = talk.world, OPENERS[opener]
    again = Conversation(world, client, server, firsts=(70_000, 90_000))
    again.say(CLIENT, b"again")
    again.say(SERVER, b"once more")
    assert (again.heard(SERVER), again.heard(CLIENT)) == (b"again", b"once more")
    assert len(world.flows) == 1


@pytest.mark.row("5382-2a")
def test_both_ends_may_open_at_once():
    world = World()
    out = world.tcp(IN1, 5000, OUT1, 6000, SYN, seq=100).one
    world.tcp(OUT1, 6000, *out.source, SYN, seq=900).reaches(IN1, 5000)
    world.tcp(IN1, 5000, OUT1, 6000, SYN | ACK, seq=100, ack=901).reaches(OUT1, 6000)
    world.tcp(OUT1, 6000, *out.source, SYN | ACK, seq=900, ack=101).reaches(IN1, 5000)
    world.tcp(IN1, 5000, OUT1, 6000, ACK, seq=101, ack=901, payload=b"one").reaches(OUT1, 6000)
    world.tcp(OUT1, 6000, *out.source, ACK, seq=901, ack=104, payload=b"two").reaches(IN1, 5000)
    assert world.flow.state == "ESTABLISHED"
    assert world.flow.expires == world.now + 7440


@pytest.mark.row("5382-4a")
def test_nothing_is_answered_to_what_is_not_let_in():
    world = World(own=frozenset())
    public = world.tcp(IN1, 5000, OUT1, 80, SYN).one.source
    world.tcp(OUT1, 81, *public, SYN).reaches(IN1, 5000)
    world.tcp(OUT2, 80, *public, SYN).is_dropped(Reason.FILTERED)
    world.tcp(OUT2, 80, E1, public.port ^ 1, SYN).is_dropped(Reason.NO_MAPPING)
    world.tcp(OUT1, 82, *public, ACK, seq=1).is_dropped(Reason.NO_FLOW)
    world.tcp(IN1, 5001, OUT2, 80, ACK, seq=1).is_dropped(Reason.NO_FLOW)


@pytest.mark.row("5382-4")
def test_an_unsolicited_syn_is_never_answered_and_welcome_once_one_has_gone_out():
    world = World()
    public = world.tcp(IN1, 5000, OUT1, 80, SYN).one.source
    for _ in range(4):
        world.tcp(OUT2, 80, *public, SYN, seq=900).is_dropped(Reason.FILTERED)
        world.later(2)
    assert world.tcp(IN1, 5000, OUT2, 80, SYN, seq=100).one.source == public
    world.tcp(OUT2, 80, *public, SYN, seq=900).reaches(IN1, 5000)


@pytest.mark.row("5382-5")
@both_ways
def test_an_established_connection_may_be_idle_for_two_hours_and_four_minutes(opener: str):
    talk = conversation(opener)
    talk.world.later(7439)
    talk.say(SERVER, b"still here")
    assert talk.heard(CLIENT) == b"still here"
    talk.world.later(7441)
    talk.send(CLIENT, ACK, b"too late").is_dropped(Reason.NO_FLOW)


@pytest.mark.row("5382-5t")
def test_an_opening_connection_may_be_idle_for_four_minutes():
    for wait, there in ((239, True), (241, False)):
        world = World()
        public = world.tcp(IN1, 5000, OUT1, 80, SYN, seq=1).one.source
        world.later(wait)
        passage = world.tcp(OUT1, 80, *public, SYN | ACK, seq=1, ack=2)
        assert bool(passage.packets) is there


@pytest.mark.row("5382-5t")
@both_ways
def test_a_closing_connection_may_be_idle_for_four_minutes(opener: str):
    for wait, there in ((239, True), (241, False)):
        talk = conversation(opener)
        talk.finish(CLIENT)
        talk.finish(SERVER)
        talk.world.later(wait)
        again = talk.send(CLIENT, FIN | ACK, seq=talk.ends[CLIENT].said - 1)
        assert bool(again.packets) is there


@pytest.mark.row("5382-5a", "7857-2.1")
def test_the_times_of_each_stage_are_configurable_by_themselves():
    times = Timeouts(tcp_opening=10, tcp_established=500, tcp_closing=30)
    world = World(timeouts=times)
    world.tcp(IN1, 5000, OUT1, 80, SYN)
    assert world.flow.expires == world.now + 10
    world.later(11)
    assert world.flows == []
    talk = Conversation(world, Endpoint(IN1, 5000), Endpoint(OUT1, 80))
    assert world.flow.expires == world.now + 500
    world.later(499)
    talk.finish(CLIENT)
    assert world.flow.expires == world.now + 500
    talk.finish(SERVER)
    assert world.flow.expires == world.now + 30
    world.later(31)
    assert world.flows == []


@pytest.mark.row("5382-6")
@pytest.mark.parametrize(
    ("port", "payload"),
    [
        (6667, b"PRIVMSG x :\1DCC SEND f 167772162 5000 9\1\r\n"),
        (554, b"SETUP rtsp://x RTSP/1.0\r\nTransport: RTP/AVP;client_port=5000-5001\r\n\r\n"),
        (5060, b"REGISTER sip:x SIP/2.0\r\nContact: <sip:a@10.0.0.2:5060>\r\n\r\n"),
        (2021, b"HERE 10,0,0,2,19,136\r\n"),
    ],
)
def test_payloads_that_no_helper_is_for_pass_byte_for_byte(port: int, payload: bytes):
    world = World(helpers=(use("announcer", 21),))
    talk = Conversation(world, Endpoint(IN1, 5000), Endpoint(OUT1, port))
    assert talk.say(CLIENT, payload).one.payload == payload
    assert world.expectations == 0


@pytest.mark.row("7857-2.2a")
@both_ways
@pytest.mark.parametrize("who", [CLIENT, SERVER])
def test_a_reset_is_translated(opener: str, who: int):
    talk = conversation(opener)
    talk.say(CLIENT, b"x")
    arrived = talk.reset(who).one
    assert (arrived.source, arrived.destination) == (
        talk.ends[1 - who].other,
        talk.ends[1 - who].me,
    )
    assert arrived.flags & RST
    assert talk.world.flow.state == "CLOSE"


@pytest.mark.row("7857-2.2b")
@both_ways
def test_data_after_a_reset_revives_the_connection_and_silence_ends_it(opener: str):
    talk = conversation(opener)
    talk.reset(SERVER)
    talk.world.later(10)
    talk.say(CLIENT, b"still here")
    talk.say(SERVER, b"so am I")
    talk.world.later(290)
    assert talk.world.flow.state == "ESTABLISHED"
    talk.reset(CLIENT)
    talk.world.later(239)
    assert talk.world.flow.state == "CLOSE"
    talk.world.later(2)
    assert talk.world.flows == []


@pytest.mark.row("7857-2.2c", "A-23")
@both_ways
@pytest.mark.parametrize("who", [CLIENT, SERVER])
def test_a_reset_with_a_wrong_sequence_number_changes_nothing(opener: str, who: int):
    talk = conversation(opener)
    talk.say(CLIENT, b"x")
    for off in (1, -1, 100, 1 << 16, 1 << 31, -(1 << 20)):
        talk.send(who, RST, seq=(talk.ends[who].said + off) % 2**32)
        assert talk.world.flow.state == "ESTABLISHED"
    talk.world.later(7000)
    assert len(talk.world.flows) == 1
    talk.send(who, RST)
    assert talk.world.flow.state == "CLOSE"


@pytest.mark.row("A-23")
def test_a_reset_behind_forged_data_changes_nothing():
    talk = conversation("from inside")
    talk.say(CLIENT, b"x")
    for step in range(1, 32):
        seq = (talk.ends[SERVER].said + (step << 27)) % 2**32
        talk.send(SERVER, ACK, b"forged", seq=seq)
        talk.send(SERVER, RST, seq=(seq + 6) % 2**32)
        assert talk.world.flow.state == "ESTABLISHED"


@pytest.mark.row("5382-8")
def test_a_published_server_is_reached_from_inside_by_its_public_address():
    world = World(forwards=(WEB,))
    talk = Conversation(world, Endpoint(IN2, 4000), Endpoint(E1, 80))
    talk.say(CLIENT, b"GET /")
    talk.say(SERVER, b"200")
    assert talk.ends[SERVER].me == (IN1, 8080)
    assert talk.ends[SERVER].other.address == E1
    assert (talk.heard(SERVER), talk.heard(CLIENT)) == (b"GET /", b"200")
