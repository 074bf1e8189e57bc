"""What a flow knows of its inspector."""

from __future__ import annotations

import inspect
from math import inf

import pytest

from ipmasq.core.datagram_inspector import DatagramInspector
from ipmasq.core.helper import Speaker
from ipmasq.core.inspector import Inspected, Inspector
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.tcp_inspector import TcpInspector
from ipmasq.wire import ipv4, tcp
from ipmasq.wire.tcp import ACK, PSH, Segment
from tests.core.conversation import INSIDE, OUTSIDE, Conversation, build

VERBS = [name for name in vars(Inspector) if not name.startswith("_")]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", [TcpInspector, DatagramInspector])
def test_each_inspector_has_every_verb_with_the_same_arguments(kind: type[Inspector], verb: str):
    needed, found = vars(Inspector)[verb], inspect.getattr_static(kind, verb)
    assert isinstance(found, property) is isinstance(needed, property)
    if inspect.isfunction(needed):
        assert list(inspect.signature(found).parameters) == list(
            inspect.signature(needed).parameters
        )


def test_a_flow_with_a_helper_has_an_inspector_of_its_own_number():
    flow = Conversation().open().flow
    inspector = flow.inspector
    assert inspector is not None
    assert inspector.flow_id == flow.id
    assert inspector.is_inspecting
    assert not inspector.is_awaited
    assert inspector.check() == 0, "nothing is kept"


def test_of_a_packet_that_was_dropped_nothing_is_to_be_remembered():
    inspected = Inspected(Reason.BAD_CHECKSUM)
    assert (inspected.packets, inspected.taken, inspected.deadline) == ((), None, inf)
    assert not inspected.is_released


PORT = b"PORT 10,0,0,2,4,1\r\n"


def shown(talk: Conversation, text: bytes, far: int = 0) -> Inspected:
    """What the client's inspector answers to the next segment of it, or to one that is far away."""
    inspector = talk.flow.inspector
    assert inspector is not None
    sequence = tcp.advance(talk.first[Side.INSIDE], talk.said[Side.INSIDE] + far)
    segment = Segment(0, 0, sequence, talk.first[Side.OUTSIDE], ACK | PSH, 60000, 0, 0, b"")
    packet = build(INSIDE, OUTSIDE, segment, text)
    header = ipv4.read(packet.data)
    assert header is not None
    segment = segment._replace(source_port=INSIDE.port, destination_port=OUTSIDE.port)
    return inspector.receive(packet, header, segment, Speaker.CLIENT, -1, 0.0)


def test_what_it_returns_says_what_was_taken_of_a_segment_and_what_leaves():
    talk = Conversation().open()
    done = shown(talk, PORT)
    assert done.taken is not None
    assert (done.reason, done.payload) == (Reason.TRANSLATED, len(PORT))
    assert (done.deadline, done.is_released) == (inf, False)
    (packet,) = done.packets
    assert b"PORT 203,0,113,1," in bytes(packet.data)


def test_nothing_is_taken_of_a_segment_that_cannot_belong():
    done = shown(Conversation().open(), PORT, far=1 << 28)
    assert done.taken is None
    assert [b"PORT" in bytes(packet.data) for packet in done.packets] == [False]


def test_of_what_is_withheld_it_says_when_it_will_send_it():
    done = shown(Conversation().open(), PORT[:6])
    assert done.reason is Reason.HELD
    assert 0 < done.deadline < inf


def test_it_is_gone_once_no_helper_looks_and_nothing_is_shifted():
    talk = Conversation().open()
    talk.engine.unload_helper("ftp", 0.0)
    talk.client(b"NOOP\r\n")
    talk.hears(Side.OUTSIDE, 6)
    (flow,) = talk.engine.table.flows.values()
    assert flow.inspector is None


def test_it_turns_quoted_numbers_back_as_far_as_it_has_shifted_them():
    talk = Conversation().open()
    inspector: Inspector | None = talk.flow.inspector
    assert inspector is not None
    grown = len(talk.client(PORT).payload) - len(PORT)
    end = tcp.advance(talk.first[Side.INSIDE], len(PORT))
    assert inspector.shift(Speaker.CLIENT).delta == grown != 0
    assert inspector.unshift(Speaker.CLIENT, tcp.advance(end, grown)) == end
    assert inspector.unshift(Speaker.SERVER, 4711) == 4711
