"""Which segments move the state of a connection."""

from __future__ import annotations

import pytest

from ipmasq.core.policy import HelperUse
from ipmasq.core.reasons import Reason
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire.addresses import Endpoint
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, MSS, SERVER, Conversation
from tests.conformance.packets import ACK, FIN, RST, SYN, TCP
from tests.conformance.world import IN1, OUT1, World

FTP = HelperUse("ftp", Ftp, TCP, frozenset((21,)), Ftp.orthogonal)


ports = pytest.mark.parametrize("port", [443, 21], ids=["plain", "inspected"])


SCALED = MSS + b"\x03\x03\x07\x00"


def connected(port: int, opened: bool = True, options: bytes = MSS) -> Conversation:
    world = World(helpers=(FTP,))
    ends = Endpoint(IN1, 4000), Endpoint(OUT1, port)
    return Conversation(world, *ends, opened=opened, options=options)


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


@pytest.mark.parametrize("flags", [FIN | ACK, RST | ACK])
def test_a_damaged_segment_changes_no_state(flags):
    talk = connected(443)
    data = bytearray(talk.ends[SERVER].write(flags))
    data[-1] ^= 1
    passage = talk.world.send(bytes(data), intact=False)
    assert passage.reason is Reason.TRANSLATED
    assert talk.world.flow.state == "ESTABLISHED"


@pytest.mark.parametrize("who", [CLIENT, SERVER])
def test_a_connection_is_over_whose_fin_overtook_what_is_sent_again(who: int) -> None:
    """The rest of a window was lost but for the FIN, which its receiver has and which is not sent again."""
    talk = connected(443, options=SCALED)
    talk.finish(1 - who)
    end, other = talk.ends[who], talk.ends[1 - who]
    start, last = end.said, end.said + 300_000
    talk.send(who, FIN | ACK, seq=last)
    assert talk.world.flow.state == "TIME_WAIT"
    (flow,) = talk.world.engine.table.flows.values()
    for at in range(0, 300_000, 60_000):
        assert not flow.is_over
        talk.send(who, ACK, b"again" * 200, seq=start + at)
        talk.send(1 - who, ACK, ack=start + at + 1000)
    talk.send(1 - who, ACK, ack=last + 1)
    assert flow.is_over
    for late in (0, 300_000):  # nor does what comes late make it live again
        talk.send(who, ACK, seq=start + late, ack=end.awaited - 1)
        talk.send(1 - who, ACK, seq=other.said - 1, ack=start + late)
        assert flow.is_over
