"""The inspector of a TCP flow: segments that are rewritten in place, and messages that are no lines."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.events import HelperBound, HelperFailed, HelperReleased
from ipmasq.core.flow import End, Flow
from ipmasq.core.helper import Framer, Helper, HelperContext, Speaker
from ipmasq.core.policy import HelperUse, Limits
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.translate import dress, renumber, translate
from ipmasq.wire import ipv4, tcp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import ACK, FIN, PSH, Segment
from tests.core.conversation import INSIDE, OUTSIDE, PUBLIC, Conversation, build, policy

numbers = st.integers(0, 0xFFFFFFFF)
words = st.integers(0, 0xFFFF)
after = st.tuples(numbers, numbers, st.sampled_from([ACK, ACK | PSH, ACK | FIN]), words, words)


@given(after, after, st.binary(max_size=40), st.sampled_from([-1, 0, 1]))
def test_a_packet_that_is_rewritten_in_place_is_the_one_that_is_composed_anew(
    before: tuple[int, ...], after: tuple[int, ...], payload: bytes, ttl_delta: int
) -> None:
    client = End(INSIDE, Endpoint(PUBLIC, 61000))
    flow = Flow(1, ipv4.TCP, client, End(OUTSIDE, OUTSIDE), (Side.INSIDE, Side.OUTSIDE), 0.0)
    one, other = (
        Segment(INSIDE.port, OUTSIDE.port, n[0], n[1], n[2], n[3], 0, n[4], b"\x01\x01\x01\x00")
        for n in (before, after)
    )
    packet = build(INSIDE, OUTSIDE, one, payload)
    header = ipv4.read(packet.data)
    assert header is not None
    segment = tcp.write(other, payload)
    anew = dress(packet, header, flow.original, ttl_delta, segment, 0)
    in_place = Packet(bytearray(packet.data))
    translate(in_place.data, header.length, ipv4.TCP, flow.original, ttl_delta)
    renumber(in_place.data, header.length, one, other)
    assert bytes(in_place.data) == bytes(anew.data)


def test_a_segment_of_which_only_numbers_change_leaves_in_its_own_packet() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    segment = Segment(
        0, 0, talk.first[Side.INSIDE] + 19, talk.first[Side.OUTSIDE], ACK, 9, 0, 0, b""
    )
    packet = build(INSIDE, OUTSIDE, segment, b"NOOP\r\n")
    verdict = talk.engine.receive(packet, Side.INSIDE, 0.0)
    assert verdict.packets[0] is packet


class Counted(NamedTuple):
    """Messages that begin with their own length in two bytes, which counts itself."""

    longest: int = 64
    overlap: int | None = None

    def end(self, data: bytes | bytearray, searched: int) -> int:
        if len(data) < 2:
            return 0
        size = data[0] << 8 | data[1]
        if size < 2:
            raise ValueError("shorter than its length")
        if size == 666:
            raise ArithmeticError("as asked")
        return size

    def count(self, data: bytes) -> int:
        return -(-len(data) // 2)

    def end_of(self, data: bytes, count: int) -> int:
        return 2 * count


class Loud(Helper):
    """Makes `hush` louder, in messages of any length."""

    name = "loud"

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def framer(self) -> Framer:
        return Counted()

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        return len(partial) < 3 or partial[2:3] == b"h"

    def on_line(self, line: bytes, context: HelperContext) -> None:
        self.heard.append(line)
        if line[2:] == b"hush":
            context.replace(0, len(line), message(b"SHOUT"))


def message(text: bytes) -> bytes:
    return (2 + len(text)).to_bytes(2, "big") + text


USE = HelperUse("loud", Loud, ipv4.TCP, frozenset((21,)), True)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_a_helper_that_chooses_its_framer_is_shown_its_messages_however_they_arrive(size: int):
    talk = Conversation(policy(helpers=(USE,))).open()
    said = message(b"a\r\nb") + message(b"hush") + message(b"") + message(b"x" * 50)
    heard = b""
    for at in range(0, len(said), size):
        heard += talk.client(said[at : at + size]).payload
        talk.heard[Side.OUTSIDE] = talk.said[Side.INSIDE]
    assert heard == said.replace(message(b"hush"), message(b"SHOUT"))
    assert talk.engine.helpers()[0].inspected == 4


def test_a_message_that_is_too_long_passes_and_the_next_one_is_still_found() -> None:
    talk = Conversation(policy(helpers=(USE,))).open()
    long = message(b"h" * 500)
    said = long + message(b"hush")
    heard = b"".join(talk.client(said[at : at + 100]).payload for at in range(0, len(said), 100))
    assert heard == long + message(b"SHOUT")
    assert talk.engine.helpers()[0].inspected == 1


def test_where_no_message_can_begin_like_this_the_helper_looks_no_further() -> None:
    talk = Conversation(policy(helpers=(USE,))).open()
    assert talk.client(message(b"hush")).payload == message(b"SHOUT")
    said = b"\0\1" + message(b"hush")
    assert talk.client(said).payload == said
    (released,) = [event for event in talk.events if isinstance(event, HelperReleased)]
    assert released.reason is Reason.HELPER_STOPPED
    assert talk.engine.helpers()[0].failed == 0


def test_a_framer_that_fails_is_a_failure_of_its_helper_and_the_bytes_pass() -> None:
    talk = Conversation(policy(helpers=(USE,))).open()
    said = (666).to_bytes(2, "big") + b"hush"
    assert talk.client(said).payload == said
    (failed,) = [event for event in talk.events if isinstance(event, HelperFailed)]
    assert failed.error == "ArithmeticError: as asked"
    assert talk.client(message(b"hush")).payload == message(b"hush")


def test_a_helper_that_cannot_find_a_message_in_the_middle_is_not_bound_there() -> None:
    talk = Conversation(policy(helpers=())).open()
    talk.client(b"\0")
    talk.engine.load_helper(USE, talk.now)
    assert not [event for event in talk.engine.events() if isinstance(event, HelperBound)]
    (flow,) = talk.engine.table.flows.values()
    assert flow.inspector is None


def test_no_more_messages_are_shown_than_the_work_of_a_host_allows() -> None:
    limits = Limits(lines_per_host=4)
    talk = Conversation(policy(helpers=(USE,), limits=limits)).open()
    said = message(b"hush") * 20
    assert len(talk.client(said).payload) < len(said)
    assert talk.engine.helpers()[0].inspected <= 4
