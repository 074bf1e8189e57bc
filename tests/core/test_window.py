"""Only a segment that can belong to its connection changes what is remembered of it; any other is forwarded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.flow import LATE
from ipmasq.core.policy import HelperUse
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import ACK, FIN, PSH, RST, SYN, TCP
from tests.conformance.world import IN1, OUT1, World

FTP = HelperUse("ftp", Ftp, TCP, frozenset((21,)), Ftp.orthogonal)
SCALED = b"\x02\x04\x05\xb4\x03\x03\x07\x00"

ports = pytest.mark.parametrize("port", [443, 21], ids=["plain", "inspected"])


def connected(port: int, opened: bool = True, **more: object) -> Conversation:
    world = World(helpers=(FTP,))
    return Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, port), opened=opened)


def remembered(talk: Conversation) -> tuple[object, ...]:
    """All that a segment could move."""
    (flow,) = talk.world.engine.table.flows.values()
    streams = flow.rewriter.streams if flow.rewriter else ()
    ends = flow.rewriter._ends if flow.rewriter else ()
    return (
        flow.state,
        flow.last_seen,
        flow.original.position,
        flow.reply.position,
        flow.reach,
        *((s.first, s.received, s.ready, s.acknowledged, s.end) for s in streams if s),
        *((e.window, e.timestamp, e.edge, e.mss) for e in ends),
    )


@ports
@given(
    who=st.sampled_from([CLIENT, SERVER]),
    far=st.tuples(st.integers(1 << 17, 1 << 31), st.sampled_from([-1, 1])),
    which=st.sampled_from(["sequence", "acknowledgment", "both"]),
    flags=st.sampled_from([ACK, ACK | PSH, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, FIN, 0]),
    payload=st.binary(max_size=20),
)
@pytest.mark.row("A-23", "A-28", "7857-2.2c", "A-24")
def test_a_segment_that_is_out_of_window_changes_nothing_and_goes_on(
    port, who, far, which, flags, payload
):
    talk = connected(port)
    if who == SERVER:
        talk.say(SERVER, b"220 ready\r\n")
    talk.world.now += 5
    before = remembered(talk)
    end = talk.ends[who]
    distance = far[0] * far[1]
    sequence, acknowledgment = end.said, end.awaited
    if which != "acknowledgment" or not flags & ACK or flags & RST:
        sequence += distance
    if which != "sequence":
        acknowledgment += distance
    options = b"\x01\x01\x08\x0a\xff\xff\xff\xff\0\0\0\0"
    passage = talk.send(
        who,
        flags,
        payload,
        seq=sequence % 2**32,
        ack=acknowledgment % 2**32,
        options=options,
        window=3,
    )
    assert remembered(talk) == before
    assert passage.reason is Reason.TRANSLATED
    assert passage.one.flags == flags
    assert passage.one.seq == sequence % 2**32
    # Nothing is kept of what it says, and nothing waits for it.
    talk.say(CLIENT, b"NOOP\r\n")
    assert talk.heard(SERVER) == b"NOOP\r\n"
    talk.say(SERVER, b"200 fine\r\n")
    assert talk.heard(CLIENT).endswith(b"200 fine\r\n")
    assert talk.world.flow.state == "ESTABLISHED"


@ports
@pytest.mark.row("A-28")
def test_a_syn_ack_must_acknowledge_the_syn(port):
    talk = connected(port, opened=False)
    syn = talk.syn()
    for wrong in (0, 1, syn.seq, syn.seq + 2, syn.seq + 5000):
        forged = packets.tcp(OUT1, port, *syn.source, SYN | ACK, seq=5, ack=wrong)
        talk.world.send(forged)
        assert talk.world.flow.state == "SYN_SENT"
    answer = packets.tcp(OUT1, port, *syn.source, SYN | ACK, seq=5, ack=syn.seq + 1)
    talk.world.send(answer).reaches(IN1, 4000)
    assert talk.world.flow.state == "ESTABLISHED"


@ports
@pytest.mark.row("5382-2a")
def test_a_forged_syn_of_the_server_does_not_open_a_connection(port):
    """Both ends may send a SYN at once; but it is the client that acknowledges the server's."""
    talk = connected(port, opened=False)
    syn = talk.syn()
    talk.world.send(packets.tcp(OUT1, port, *syn.source, SYN, seq=4711))
    assert talk.world.flow.state == "SYN_SENT"
    talk.world.send(packets.tcp(OUT1, port, *syn.source, SYN | ACK, seq=900, ack=syn.seq + 1))
    assert talk.world.flow.state == "ESTABLISHED"
    talk.world.tcp(IN1, 4000, OUT1, port, ACK, seq=syn.seq + 1, ack=901)
    talk.world.tcp(IN1, 4000, OUT1, port, FIN | ACK, seq=syn.seq + 1, ack=901)
    assert talk.world.flow.state == "FIN_WAIT"


@ports
@pytest.mark.row("A-28")
def test_a_blind_syn_before_the_banner_leaves_the_connection_as_it_is(port):
    talk = connected(port)
    client = talk.ends[CLIENT]
    talk.send(CLIENT, SYN, seq=client.said + 1_000_000, ack=0)
    talk.say(SERVER, b"220 ready\r\n")
    talk.say(CLIENT, b"USER a\r\n")
    assert talk.heard(CLIENT) == b"220 ready\r\n"
    assert talk.heard(SERVER) == b"USER a\r\n"


@ports
@pytest.mark.parametrize("said", [b"", b"220 ready\r\n"], ids=["before the banner", "after it"])
@pytest.mark.row("5382-2", "A-31")
def test_a_client_that_crashed_uses_its_tuple_again_at_once(port, said):
    talk = connected(port)
    if said:
        talk.say(SERVER, said)
    client, server = talk.ends
    # The client knows nothing any more: a SYN, which its server answers by what it knows (RFC 9293, 3.10.7.4).
    client.said += 700_000
    talk.send(CLIENT, SYN, ack=0)
    challenge = talk.send(SERVER, ACK).one
    assert (challenge.seq, challenge.destination) == (server.said, client.me)
    talk.send(CLIENT, RST, seq=challenge.ack, ack=0).reaches(OUT1, port)
    again = talk.send(CLIENT, SYN, ack=0).one
    assert talk.world.flow.state == "SYN_SENT"
    talk.world.send(packets.tcp(OUT1, port, *again.source, SYN | ACK, seq=5, ack=again.seq + 1))
    assert talk.world.flow.state == "ESTABLISHED"


@ports
@pytest.mark.row("5382-2", "A-28")
def test_ends_recover_where_the_server_still_holds_a_connection_that_the_gateway_has_forgotten(
    port,
):
    talk = connected(port, opened=False)
    syn = talk.syn()
    old = packets.tcp(OUT1, port, *syn.source, ACK, seq=77, ack=4_000_000)
    challenge = talk.world.send(old).one
    assert (challenge.seq, challenge.ack) == (77, 4_000_000)
    reset = talk.world.tcp(IN1, 4000, OUT1, port, RST, seq=4_000_000).one
    assert (reset.seq, reset.destination.address) == (4_000_000, OUT1)
    assert talk.world.flow.state == "SYN_SENT"
    again = talk.world.tcp(IN1, 4000, OUT1, port, SYN, seq=syn.seq).one
    talk.world.send(packets.tcp(OUT1, port, *again.source, SYN | ACK, seq=5, ack=syn.seq + 1))
    assert talk.world.flow.state == "ESTABLISHED"


@ports
@pytest.mark.row("A-28")
def test_a_blind_fin_ends_nothing_and_the_real_one_does(port):
    talk = connected(port)
    talk.say(SERVER, b"220 ready\r\n")
    server = talk.ends[SERVER]
    for distance in (1 << 16, 1 << 20, 50_000_000):
        talk.send(SERVER, ACK, seq=server.said, ack=server.awaited + distance + 1)
        talk.send(SERVER, FIN | ACK, seq=server.said + distance + 1)
    assert talk.world.flow.state == "ESTABLISHED"
    talk.say(SERVER, b"221 bye\r\n")
    finished = talk.finish(SERVER)
    assert finished.one.flags & FIN
    assert talk.heard(CLIENT) == b"220 ready\r\n221 bye\r\n"
    assert talk.world.flow.state == "CLOSE_WAIT"


@pytest.mark.parametrize(("scale", "jump", "believed"), [(7, 8_000_000, True), (0, 70_000, False)])
def test_numbers_may_go_on_by_the_largest_window_that_an_end_can_offer(scale, jump, believed):
    """Of a large window only the first packet is lost: the acknowledgment goes on by all of it at once."""
    world = World()
    options = SCALED if scale else b""
    out = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=100, options=options).one
    world.tcp(OUT1, 80, *out.source, SYN | ACK, seq=500, ack=101, options=options)
    world.now += 100
    world.tcp(IN1, 4000, OUT1, 80, ACK, seq=101, ack=501 + jump)
    (flow,) = world.engine.table.flows.values()
    assert (flow.original.acknowledged == 501 + jump) is believed
    assert (flow.last_seen == world.now) is believed


@given(st.integers(0, 2**32 - 1), st.integers(-65535, 65535), st.integers(-65535, 65535))
def test_near_is_near_wherever_the_numbers_wrap(first, ahead, acked):
    world = World()
    out = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=first).one
    start = (first + 1) % 2**32
    world.tcp(OUT1, 80, *out.source, SYN | ACK, seq=first, ack=start)
    world.tcp(IN1, 4000, OUT1, 80, ACK, seq=start, ack=start)
    world.now += 1
    world.tcp(IN1, 4000, OUT1, 80, ACK, seq=(start + ahead) % 2**32, ack=(start + acked) % 2**32)
    (flow,) = world.engine.table.flows.values()
    # What lies behind is believed, too, and takes nothing back.
    assert flow.original.end == (start + max(0, ahead)) % 2**32
    assert flow.original.acknowledged == (start + max(0, acked)) % 2**32
    assert flow.last_seen == world.now


@given(
    first=st.integers(0, 2**32 - 1),
    steps=st.lists(st.tuples(st.integers(-LATE, LATE), st.integers(-LATE, LATE)), max_size=8),
)
def test_a_place_is_the_farthest_that_was_seen_in_any_order(first, steps):
    world = World()
    out = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=first).one
    start = (first + 1) % 2**32
    world.tcp(OUT1, 80, *out.source, SYN | ACK, seq=first, ack=start)
    world.tcp(IN1, 4000, OUT1, 80, ACK, seq=start, ack=start)
    (flow,) = world.engine.table.flows.values()
    ends, acks = [0], [0]
    for ahead, acked in steps:
        if max(ends) - ahead > LATE or max(acks) - acked > LATE:
            continue  # no window is that wide
        ends.append(ahead)
        acks.append(acked)
        sequence, acknowledgment = (start + ahead) % 2**32, (start + acked) % 2**32
        world.tcp(IN1, 4000, OUT1, 80, ACK, seq=sequence, ack=acknowledgment)
    assert flow.original.end == (start + max(ends)) % 2**32
    assert flow.original.acknowledged == (start + max(acks)) % 2**32


def test_a_forged_segment_far_ahead_holds_no_place():
    """It stands within a scaled window, so it is believed; what its speaker says next takes the place back."""
    world = World()
    out = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=100, options=SCALED).one
    world.tcp(OUT1, 80, *out.source, SYN | ACK, seq=500, ack=101, options=SCALED)
    (flow,) = world.engine.table.flows.values()
    for end, acknowledged in ((101 + 10 * LATE, 501), (101, 501 + 10 * LATE), (101, 501)):
        world.tcp(IN1, 4000, OUT1, 80, ACK, seq=end, ack=acknowledged)
        assert (flow.original.end, flow.original.acknowledged) == (end, acknowledged)


@pytest.mark.parametrize("flags", [FIN | ACK, RST | ACK])
def test_a_damaged_segment_changes_no_state(flags):
    talk = connected(443)
    data = bytearray(talk.ends[SERVER].write(flags))
    data[-1] ^= 1
    passage = talk.world.send(bytes(data), intact=False)
    assert passage.reason is Reason.TRANSLATED
    assert talk.world.flow.state == "ESTABLISHED"


def test_out_of_window_segments_keep_no_connection_alive():
    talk = connected(443)
    server = talk.ends[SERVER]
    for _ in range(8):
        talk.world.later(1000)
        talk.send(SERVER, ACK, seq=server.said + 50_000_000)
    assert not talk.world.flows


def test_a_packet_whose_handling_raises_costs_that_packet_and_is_told_of_once_a_second(monkeypatch):
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53).one.source
    monkeypatch.setattr("ipmasq.core.engine.ipv4.read", lambda data: 1 // 0)
    data = packets.echo(IN1, OUT1, 5)
    for _ in range(3):
        verdict = world.engine.receive(Packet(bytearray(data)), Side.INSIDE, world.now)
        assert (verdict.reason, verdict.packets) == (Reason.FAULT, ())
    monkeypatch.undo()
    world.now += 1
    world.udp(OUT1, 53, *out).reaches(IN1, 5000)
    from ipmasq.core.events import PacketFailed

    (failed,) = world.events(PacketFailed)
    assert failed.data == data[:128]
    assert "ZeroDivisionError" in failed.error
    assert world.engine.counts[Reason.FAULT] == 3
