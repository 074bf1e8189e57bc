"""Helpers that read and rewrite datagrams."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.datagram_inspector import DatagramInspector
from ipmasq.core.events import HelperFailed, HelperReleased, Refused, Rewritten
from ipmasq.core.policy import Action, Behaviour, Forward, Limits, OnFailure, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import DF, UDP, Facts, fragments, joined
from tests.conformance.world import E1, E2, IN1, IN2, OUT1, OUT2, World
from tests.core.datagrams import READ, Reader, Teller, use
from tests.core.restored import restored

STRICT = Behaviour.ADDRESS_AND_PORT_DEPENDENT
PUBLISHED = Forward("tftp", UDP, None, PortRange(69, 69), IN1, 69)
AT = b"at 10.0.0.2:7000"
LONG = b"at 10.0.0.2:70000000"


def say(world: World, text: bytes, source: bytes = IN1, **rest: object) -> Facts:
    """The client says this to the server; what the server hears."""
    return world.udp(source, 4000, OUT1, 69, payload=text, **rest).one


def inspector(world: World) -> DatagramInspector | None:
    found = next(iter(world.engine.table.flows.values())).inspector
    assert found is None or isinstance(found, DatagramInspector)
    return found


# -- an answer from another port


@pytest.mark.parametrize("helpers", [(), (use(Reader),)], ids=["without", "with"])
def test_a_masqueraded_client_gets_the_answer_from_another_port_with_a_helper(helpers):
    world = World(helpers=helpers, filtering=STRICT)
    public = world.udp(IN1, 4000, OUT1, 69, payload=READ).leaves_from(E1)
    answer = packets.udp(OUT1, 5555, *public, payload=b"\0\3\0\1data")
    if not helpers:
        world.send(answer).is_dropped(Reason.FILTERED)
        return
    world.udp(OUT2, 5555, *public).is_dropped(Reason.FILTERED)
    assert world.send(answer).reaches(IN1, 4000).payload == b"\0\3\0\1data"
    world.udp(IN1, 4000, OUT1, 5555).leaves_from(E1)
    control, data = world.flows
    assert (control.links, data.master, data.helper) == (1, control.id, None)


@pytest.mark.parametrize("helpers", [(), (use(Reader),)], ids=["without", "with"])
def test_a_masqueraded_server_answers_from_another_port_with_a_helper(helpers):
    """Also by the public address at which its client knows it, and though hosts may open nothing themselves."""
    world = World(
        helpers=helpers, forwards=(PUBLISHED,), default_action=Action.DROP, public=(E1, E2)
    )
    world.udp(OUT1, 4000, E2, 69, payload=READ).reaches(IN1, 69)
    answer = packets.udp(IN1, 5555, OUT1, 4000, payload=b"\0\3\0\1data")
    if not helpers:
        world.send(answer).is_dropped(Reason.RULE_DROP)
        return
    public = world.send(answer).leaves_from(E2)
    world.udp(OUT1, 4000, *public).reaches(IN1, 5555)


def test_the_control_flow_lives_as_long_as_its_transfer():
    world = World(helpers=(use(Reader),))
    public = world.udp(IN1, 4000, OUT1, 69, payload=READ).leaves_from(E1)
    for _ in range(20):
        world.udp(OUT1, 5555, *public).reaches(IN1, 4000)
        world.later(200)
    control, _ = world.flows
    assert control.helper == "reader"
    world.later(150)
    assert [flow.id for flow in world.flows] == [control.id], "it has its own time again"
    world.later(301)
    assert world.flows == []


def test_a_repeated_request_renews_its_expectation():
    world = World(helpers=(use(Reader),), filtering=STRICT)
    public = world.udp(IN1, 4000, OUT1, 69, payload=READ).leaves_from(E1)
    world.later(250)
    assert world.udp(IN1, 4000, OUT1, 69, payload=READ).leaves_from(E1) == public
    assert world.expectations == 1
    world.later(250)
    world.udp(OUT1, 5555, *public).reaches(IN1, 4000)


def test_clients_that_share_a_public_port_each_get_their_answer():
    world = World(
        helpers=(use(Reader),), mapping=STRICT, filtering=STRICT, ports=PortRange(61000, 61000)
    )
    for server in (OUT1, OUT2):
        public = world.udp(IN1, 4000, server, 69, payload=READ).leaves_from(E1)
        world.udp(server, 5555, *public).reaches(IN1, 4000)


# -- rewriting


def test_an_announcement_is_rewritten_with_its_lengths_and_checksums():
    """The reader of what comes out verifies both (`tests.conformance.packets.read`)."""
    world = World(helpers=(use(Teller),))
    heard = say(world, AT)
    (expected,) = world.engine.expectations()
    assert heard.payload == b"at %s" % str(expected.public).encode()
    assert len(heard.payload) != len(AT)
    world.udp(OUT1, 5555, *expected.public).reaches(IN1, 7000)
    (event,) = world.events(Rewritten)
    assert (event.before, event.after, event.position) == (AT, heard.payload, 0)
    say(world, AT)
    assert [event.position for event in world.events(Rewritten)] == [0, len(AT)]


def test_in_the_other_direction_as_well():
    world = World(helpers=(use(Teller),), forwards=(PUBLISHED,))
    world.udp(OUT1, 4000, E1, 69).reaches(IN1, 69)
    heard = world.udp(IN1, 69, OUT1, 4000, payload=AT).one.payload
    (expected,) = world.engine.expectations()
    assert heard == b"at %s" % str(expected.public).encode()


def test_a_retransmitted_announcement_is_rewritten_to_the_same_bytes():
    world = World(helpers=(use(Teller),))
    assert say(world, AT).payload == say(world, AT).payload
    assert world.expectations == 1


def test_a_datagram_without_a_checksum_gets_none():
    heard = say(World(helpers=(use(Teller),)), AT, summed=False)
    assert heard.payload != AT
    assert heard.data[26:28] == b"\0\0"


def test_options_stay_in_a_rewritten_packet():
    heard = say(World(helpers=(use(Teller),)), AT, options=b"\x94\x04\0\0", tos=0xB8)
    assert (heard.data[0], heard.data[1], heard.data[20:24]) == (0x46, 0xB8, b"\x94\x04\0\0")


def test_a_datagram_that_has_grown_may_be_fragmented_since_its_sender_cannot_shrink_it():
    world = World(helpers=(use(Teller),))
    grown, same = say(world, AT), say(world, b"hello")
    assert int.from_bytes(same.data[6:8], "big") == DF
    assert same.data[4:6] == b"\0\7"
    assert len(grown.payload) > len(AT)
    assert int.from_bytes(grown.data[6:8], "big") == 0
    assert grown.data[4:6] != b"\0\7"
    assert say(world, AT).data[4:6] != grown.data[4:6]


def test_of_datagrams_that_will_be_cut_apart_those_that_have_grown_may_be_fragmented():
    world = World(helpers=(use(Teller),))
    data = packets.udp(IN1, 4000, OUT1, 69, payload=AT + b"x" * 2 * len(AT))
    packet = Packet(bytearray(data), segment=len(AT))
    sent = world.engine.receive(packet, Side.INSIDE, world.now).packets
    assert [len(each.data) - 28 for each in sent] > [len(AT)] * 3
    assert [bool(each.data[6] & 0x40) for each in sent] == [False, True, True]
    same = Packet(bytearray(packets.udp(IN1, 4000, OUT1, 69, payload=b"x" * 64)), segment=16)
    (whole,) = world.engine.receive(same, Side.INSIDE, world.now).packets
    assert whole.data[6] & 0x40


def test_a_datagram_in_fragments_is_one_message():
    world = World(helpers=(use(Teller),))
    first, second = fragments(packets.udp(IN1, 4000, OUT1, 69, payload=AT, fragment=0), 16)
    assert world.send(first).reason is Reason.HELD
    heard = world.send(second).one.payload
    assert heard.startswith(b"at 203.0.113.1:")


def test_a_datagram_in_fragments_with_df_leaves_in_fragments_that_are_no_larger():
    world = World(helpers=(use(Teller),))
    whole = packets.udp(IN1, 4000, OUT1, 69, payload=AT, fragment=DF)
    first, second = fragments(whole, 16)
    world.send(first)
    verdict = world.engine.receive(Packet(bytearray(second)), Side.INSIDE, world.now)
    sent = [bytes(packet.data) for packet in verdict.packets]
    assert max(map(len, sent)) <= len(first)
    assert packets.read(joined(sent)).payload.startswith(b"at 203.0.113.1:")


def test_of_datagrams_that_will_be_cut_apart_each_is_a_message():
    world = World(helpers=(use(Teller),))
    data = packets.udp(IN1, 4000, OUT1, 69, payload=b"x" * 16 + AT + b"y")
    verdict = world.engine.receive(Packet(bytearray(data), segment=16), Side.INSIDE, world.now)
    heard = [packets.read(bytes(packet.data)).payload for packet in verdict.packets]
    assert heard[0] == b"x" * 16
    assert heard[1].startswith(b"at 203.0.113.1:")
    assert heard[2] == b"y"
    assert [packet.segment for packet in verdict.packets] == [0, 0, 0]


@pytest.mark.parametrize("text", [AT, b"hello"])
def test_an_unfinished_checksum_is_finished_if_the_payload_changes(text: bytes):
    world = World(helpers=(use(Teller),))
    data = bytearray(packets.udp(IN1, 4000, OUT1, 69, payload=text))
    data[26:28] = bytes(2)
    data[26:28] = (
        packets.checksum(packets.pseudo(IN1, OUT1, UDP, 8 + len(text))) ^ 0xFFFF
    ).to_bytes(2, "big")
    (sent,) = world.engine.receive(Packet(data, partial=True), Side.INSIDE, world.now).packets
    assert sent.partial is (text == b"hello")
    if not sent.partial:
        assert packets.read(bytes(sent.data)).payload.startswith(b"at 203.0.113.1:")


@given(
    st.lists(
        st.tuples(
            st.sampled_from((AT, b"fail", b"evil", b"count", b"burst", b"hello", b"", LONG))
            | st.binary(max_size=30),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_whatever_is_said_passes_whole_or_not_at_all(said: list[tuple[bytes, bool]]):
    world = World(helpers=(use(Teller),))
    public = world.udp(IN1, 4000, OUT1, 69).leaves_from(E1)
    for text, is_client in said:
        ends = (IN1, 4000, OUT1, 69) if is_client else (OUT1, 69, *public)
        passage = world.udp(*ends, payload=text)
        if text == b"burst":
            passage.is_dropped(Reason.HELPER_DROP)
        elif text not in (AT, b"count"):
            assert passage.one.payload == text
    assert world.engine.counts[Reason.FAULT] == 0


# -- what it does not read


def test_a_datagram_that_came_in_corrupt_is_dropped_unread():
    world = World(helpers=(use(Teller),))
    data = bytearray(packets.udp(IN1, 4000, OUT1, 69, payload=AT))
    data[-1] ^= 1
    world.send(bytes(data)).is_dropped(Reason.BAD_CHECKSUM)
    assert world.expectations == 0
    assert say(world, b"count").payload == b"1"


def test_a_datagram_longer_than_the_helper_reads_passes():
    world = World(helpers=(use(Teller),))
    assert say(world, AT + b" " * 2048).payload == AT + b" " * 2048
    assert world.expectations == 0


def test_a_flow_that_is_inspected_is_not_offloadable():
    world = World(helpers=(use(Reader),))
    for port, offloadable in ((69, False), (70, True)):
        public = world.udp(IN1, 4000, OUT1, port).leaves_from(E1)
        world.udp(OUT1, port, *public).reaches(IN1, 4000)
        assert list(world.engine.table.flows.values())[-1].offloadable is offloadable


def test_after_a_helper_has_stopped_the_flow_is_an_ordinary_one():
    world = World(helpers=(use(Teller),))
    public = world.udp(IN1, 4000, OUT1, 69, payload=b"stop").leaves_from(E1)
    assert inspector(world) is None
    assert [event.reason for event in world.events(HelperReleased)] == [Reason.HELPER_STOPPED]
    world.udp(OUT1, 69, *public)
    assert say(world, AT).payload == AT
    (flow,) = world.engine.table.flows.values()
    assert flow.offloadable


# -- failures and budgets


def test_a_helper_that_fails_changes_nothing_and_goes_on():
    world = World(helpers=(use(Teller),))
    assert say(world, b"fail").payload == b"fail"
    (event,) = world.events(HelperFailed)
    assert (event.line, event.error) == (b"fail", "RuntimeError: as asked")
    assert say(world, AT).payload != AT


def test_a_helper_that_fails_blocks_its_flow_alone_if_the_operator_wants_that():
    world = World(helpers=(use(Teller, OnFailure.DROP),))
    for text in (b"fail", b"hello"):
        world.udp(IN1, 4000, OUT1, 69, payload=text).is_dropped(Reason.HELPER_DROP)
    assert say(world, b"hello", source=IN2).payload == b"hello"


def test_what_a_refused_datagram_announced_is_not_expected():
    world = World(helpers=(use(Teller),))
    assert say(world, b"evil").payload == b"evil"
    assert [event.reason for event in world.events(Refused)] == ["evil"]
    assert world.expectations == 0


def test_a_datagram_too_large_to_be_sent_is_dropped():
    world = World(helpers=(use(Teller),))
    world.udp(IN1, 4000, OUT1, 69, payload=b"burst").is_dropped(Reason.HELPER_DROP)


def test_a_host_that_has_used_up_its_lines_is_held_back_and_no_other():
    world = World(helpers=(use(Teller),), limits=replace(Limits(), lines_per_host=4))
    reasons = [world.udp(IN1, 4000, OUT1, 69).reason for _ in range(6)]
    assert reasons == [Reason.TRANSLATED] * 4 + [Reason.WORK_LIMIT] * 2
    say(world, b"hello", source=IN2)
    world.later(1)
    say(world, b"hello")


def test_a_flow_for_which_there_is_no_memory_passes_without_inspection():
    world = World(helpers=(use(Teller),), limits=replace(Limits(), stream_memory_per_host=4096))
    say(world, b"hello")
    assert world.udp(IN1, 4001, OUT1, 69, payload=AT).one.payload == AT
    (event,) = world.events(HelperFailed)
    assert "stream_memory_per_host" in event.error
    world.later(301)
    assert world.udp(IN1, 4001, OUT1, 69, payload=AT).one.payload != AT


# -- loading and unloading


def test_a_helper_that_is_loaded_later_reads_on_from_there():
    world = World()
    say(world, AT)
    world.engine.load_helper(use(Teller), world.now)
    assert say(world, b"count").payload == b"1"
    assert world.flow.helper == "teller"


def test_newer_code_continues_with_the_state_of_the_older():
    world = World(helpers=(use(Teller),))
    say(world, b"hello")
    world.engine.load_helper(use(Teller, expectation_life=30.0), world.now)
    assert say(world, b"count").payload == b"2"


def test_what_was_unloaded_is_no_longer_asked_and_may_come_again():
    world = World(helpers=(use(Teller),))
    say(world, b"hello")
    world.engine.unload_helper("teller", world.now)
    assert say(world, AT).payload == AT
    assert inspector(world) is None
    world.engine.load_helper(use(Teller), world.now)
    assert say(world, b"count").payload == b"1"


def test_a_helper_can_come_again_before_the_next_datagram():
    world = World(helpers=(use(Teller),))
    say(world, b"hello")
    world.engine.unload_helper("teller", world.now)
    world.engine.load_helper(use(Teller), world.now)
    assert say(world, b"count").payload == b"1"


def test_a_helper_may_change_its_protocol_when_it_is_loaded_again():
    world = World(helpers=(replace(use(Teller), protocol=packets.TCP),))
    assert say(world, AT).payload == AT
    world.engine.load_helper(use(Teller), world.now)
    assert say(world, AT).payload != AT


# -- plain values


def test_an_inspected_flow_goes_on_after_its_state_as_if_nothing_had_happened():
    world = World(helpers=(use(Teller),))
    told = say(world, AT).payload
    world.engine = restored(world.engine, Random(1), world.now)
    world.engine.check()
    assert say(world, AT).payload == told
    assert say(world, b"count").payload == b"3"
    (event, _) = world.events(Rewritten)
    assert event.position == len(AT)
    public = world.flow.public
    assert world.udp(OUT1, 69, *public, payload=b"count").one.payload == b"4"


def test_a_released_one_stays_released_after_its_state():
    world = World(helpers=(use(Teller),))
    say(world, b"hello")
    world.engine.unload_helper("teller", world.now)
    world.engine = restored(world.engine, Random(1), world.now)
    assert say(world, AT).payload == AT
    assert inspector(world) is None


def test_a_blocked_flow_stays_blocked_after_its_state():
    world = World(helpers=(use(Teller, OnFailure.DROP),))
    world.udp(IN1, 4000, OUT1, 69, payload=b"fail").is_dropped(Reason.HELPER_DROP)
    world.engine = restored(world.engine, Random(1), world.now)
    world.udp(IN1, 4000, OUT1, 69).is_dropped(Reason.HELPER_DROP)


def test_a_control_flow_keeps_its_link_after_its_state():
    world = World(helpers=(use(Reader),))
    public = world.udp(IN1, 4000, OUT1, 69, payload=READ).leaves_from(E1)
    world.udp(OUT1, 5555, *public).reaches(IN1, 4000)
    world.engine = restored(world.engine, Random(1), world.now)
    for _ in range(3):
        world.later(200)
        world.udp(OUT1, 5555, *public).reaches(IN1, 4000)
    control, data = world.flows
    assert (control.links, data.master) == (1, control.id)
