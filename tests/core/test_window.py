"""Only a segment that can belong to its connection changes what is remembered of it; any other is forwarded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.policy import HelperUse, Limits
from ipmasq.core.reasons import Reason
from ipmasq.core.window import NEAR
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire.addresses import Endpoint
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, MSS, SERVER, Conversation
from tests.conformance.packets import ACK, FIN, PSH, RST, SYN, TCP
from tests.conformance.world import IN1, OUT1, World

FTP = HelperUse("ftp", Ftp, TCP, frozenset((21,)), Ftp.orthogonal)


SCALED = MSS + b"\x03\x03\x07\x00"
WIDE = MSS + b"\x03\x03\x0a\x00"
"""A scale of 10, so that windows of 64 MiB can be offered."""


ports = pytest.mark.parametrize("port", [443, 21], ids=["plain", "inspected"])


def connected(port: int, opened: bool = True, options: bytes = MSS) -> Conversation:
    world = World(helpers=(FTP,))
    client, server = Endpoint(IN1, 4000), Endpoint(OUT1, port)
    return Conversation(world, client, server, opened=opened, options=options)


def remembered(talk: Conversation) -> tuple[object, ...]:
    """All that a segment could move."""
    (flow,) = talk.world.engine.table.flows.values()
    directions = flow.inspector.rewriter.directions if flow.inspector else ()
    streams, ends = [each.stream for each in directions], [each.end for each in directions]
    return (
        flow.state,
        flow.last_seen,
        flow.original.position,
        flow.reply.position,
        flow.reach,
        *((s.first, s.received, s.ready, s.acknowledged, s.end) for s in streams if s),
        *((e.window, e.timestamp, e.edge, e.mss) for e in ends),
    )


@pytest.mark.parametrize(
    ("port", "options", "reach"),
    [(443, MSS, 1 << 17), (21, MSS, 1 << 17), (21, WIDE, Limits().stream_bytes + 1)],
    ids=["plain", "inspected", "inspected-and-scaled"],
)
@given(
    who=st.sampled_from([CLIENT, SERVER]),
    far=st.tuples(st.integers(0, 1 << 30), st.sampled_from([-1, 1])),
    which=st.sampled_from(["sequence", "acknowledgment", "both"]),
    flags=st.sampled_from([ACK, ACK | PSH, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, FIN, 0]),
    payload=st.binary(max_size=20),
)
@pytest.mark.row("A-23", "A-28", "7857-2.2c", "A-24")
def test_a_segment_that_is_out_of_window_changes_nothing_and_goes_on(
    port, options, reach, who, far, which, flags, payload
):
    talk = connected(port, options=options)
    if who == SERVER:
        talk.say(SERVER, b"220 ready\r\n")
    talk.world.now += 5
    before = remembered(talk)
    end = talk.ends[who]
    distance = (reach + far[0]) * far[1]
    sequence, acknowledgment = end.said, end.awaited
    if which != "acknowledgment" or not flags & ACK or flags & RST:
        sequence += distance
    if which != "sequence":
        acknowledgment += distance
    stamps = b"\x01\x01\x08\x0a\xff\xff\xff\xff\0\0\0\0"
    passage = talk.send(
        who,
        flags,
        payload,
        seq=sequence % 2**32,
        ack=acknowledgment % 2**32,
        options=stamps,
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


@pytest.mark.row("A-28")
def test_what_was_inspected_goes_on_by_any_window_since_the_fast_path_sees_those():
    talk = connected(21, options=WIDE)
    talk.say(SERVER, b"220 ready\r\n")
    (flow,) = talk.world.engine.table.flows.values()
    talk.world.engine.unload_helper("ftp", talk.world.now)
    server = talk.ends[SERVER]
    talk.send(SERVER, ACK, b"x" * 100, seq=server.said + 30_000_000)
    assert flow.reply.end == server.said + 30_000_100


@pytest.mark.parametrize(
    ("sequence", "acknowledgment", "believed"),
    [
        (0, 0, True),
        (NEAR, -NEAR, True),
        (0, NEAR + 1, False),
        (0, -NEAR - 1, False),
        (NEAR + 1, 0, False),
        (0, 30_000_000, True),
    ],
    ids=["exact", "near", "ahead", "behind", "too far on", "of all that was received"],
)
@pytest.mark.row("A-23")
def test_a_fin_must_be_near_with_both_numbers_however_large_windows_are(
    sequence, acknowledgment, believed
):
    """In the last case the server has sent 30 MB of which no acknowledgment has come this way."""
    talk = connected(443, options=WIDE)
    if acknowledgment > NEAR * 2:
        for _ in range(3):
            talk.ends[SERVER].said += 10_000_000
            talk.send(SERVER, ACK, b"", seq=talk.ends[SERVER].said)
    client = talk.ends[CLIENT]
    ends = client.said + sequence, client.awaited + acknowledgment
    talk.send(CLIENT, ACK | FIN, b"", seq=ends[0] % 2**32, ack=ends[1] % 2**32)
    assert talk.world.flow.state == ("FIN_WAIT" if believed else "ESTABLISHED")


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


def test_out_of_window_segments_keep_no_connection_alive():
    talk = connected(443)
    server = talk.ends[SERVER]
    for _ in range(8):
        talk.world.later(1000)
        talk.send(SERVER, ACK, seq=server.said + 50_000_000)
    assert not talk.world.flows
