"""Datagrams that come in fragments, and how they leave."""

from __future__ import annotations

from itertools import permutations

import pytest

from ipmasq.core.policy import Action, Forward, PortRange, Rule
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Endpoint
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, Conversation
from tests.conformance.packets import ACK, DF, MF, PSH
from tests.conformance.world import E1, IN1, IN2, OUT1, Passage, World
from tests.core.announcer import here, use

PAYLOAD = bytes(range(250)) * 10


def arrive(world: World, whole: bytes, *sizes: int, order: tuple[int, ...] = ()) -> Passage:
    """All fragments of a datagram come in; the outcome of the last one is returned."""
    pieces = packets.fragments(whole, *sizes)
    passages = [world.send(pieces[index]) for index in order or range(len(pieces))]
    assert not any(passage.packets for passage in passages[:-1])
    return passages[-1]


def data(passage: Passage) -> list[bytes]:
    return [facts.data for facts in passage.packets]


def flags(piece: bytes) -> int:
    return int.from_bytes(piece[6:8], "big") & (DF | MF)


def number(piece: bytes) -> int:
    return int.from_bytes(piece[4:6], "big")


@pytest.mark.row("4787-14")
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_fragments_with_df_leave_in_fragments_with_df_that_are_no_larger(order: tuple[int, ...]):
    world = World()
    whole = packets.udp(IN1, 5000, OUT1, 53, PAYLOAD, fragment=DF)
    sent = data(arrive(world, whole, 800, 1000, order=order))
    assert [len(piece) for piece in sent] == [1020, 1020, 528]
    assert [flags(piece) for piece in sent] == [DF | MF, DF | MF, DF]
    out = packets.read(packets.joined(sent))
    assert (out.payload, out.source.address) == (PAYLOAD, E1)
    back = packets.udp(OUT1, 53, *out.source, PAYLOAD, fragment=DF)
    answered = data(arrive(world, back, 1200, 800, order=order))
    assert [len(piece) for piece in answered] == [1220, 1220, 128]
    assert all(flags(piece) & DF for piece in answered)
    into = packets.read(packets.joined(answered))
    assert (into.payload, into.destination) == (PAYLOAD, Endpoint(IN1, 5000))


def test_where_the_largest_fragment_has_no_df_the_datagram_may_be_fragmented_anew():
    world = World()
    for with_df in (0, 1):
        large, small = packets.fragments(
            packets.udp(IN1, 5000, OUT1, 53, PAYLOAD, fragment=0), 2000
        )
        pieces = [bytearray(large), bytearray(small)]
        ipv4.replace(pieces[with_df], 6, bytes((pieces[with_df][6] | 0x40, pieces[with_df][7])))
        world.send(bytes(pieces[0]))
        sent = data(world.send(bytes(pieces[1])))
        if with_df:
            assert [(len(piece), flags(piece)) for piece in sent] == [(20 + 8 + len(PAYLOAD), 0)]
        else:
            assert [flags(piece) for piece in sent] == [DF | MF, DF]


def test_a_datagram_that_passes_leaves_as_it_came():
    world = World(rules=(Rule(Action.PASS),))
    whole = packets.udp(IN1, 5000, OUT1, 53, PAYLOAD, fragment=DF, identification=4711)
    sent = data(arrive(world, whole, 1000, 1000))
    assert packets.joined(sent)[20:] == whole[20:]
    assert {number(piece) for piece in sent} == {4711}
    assert all(len(piece) <= 1020 and flags(piece) & DF for piece in sent)


def test_a_segment_that_a_helper_makes_longer_leaves_in_fragments_as_large_as_those_that_came():
    world = World(helpers=(use("announcer", 21),))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    line = b"x" * 64 + b"\r\n" + here(Endpoint(IN1, 6000))
    segment = talk.ends[CLIENT].write(ACK | PSH, line, fragment=DF)
    sent = data(arrive(world, segment, 64))
    assert all(len(piece) <= 84 and flags(piece) & DF for piece in sent)
    out = packets.read(packets.joined(sent))
    assert out.payload.startswith(b"x" * 64 + b"\r\nHERE 203,0,113,1,")
    assert len(out.payload) > len(line)


@pytest.mark.row("7857-10", "3022-6.3", "A-34")
@pytest.mark.parametrize("flag", [0, DF])
def test_fragments_of_two_hosts_with_one_identification_stay_apart_behind_one_address(flag: int):
    world = World()
    seen: set[int] = set()
    for host in (IN1, IN2, IN1):
        whole = packets.udp(host, 5000, OUT1, 53, PAYLOAD, fragment=flag, identification=4711)
        sent = data(arrive(world, whole, 1000, 1000))
        (its,) = {number(piece) for piece in sent}
        assert its not in seen
        seen.add(its)


@pytest.mark.row("7857-10", "A-34")
def test_a_hairpinned_datagram_in_fragments_has_an_identification_of_its_public_source():
    world = World(forwards=(Forward("game", ipv4.UDP, None, PortRange(6112, 6112), IN2, 6112),))
    seen = set()
    for port in (5000, 5001):
        whole = packets.udp(IN1, port, E1, 6112, PAYLOAD, fragment=0, identification=4711)
        passage = arrive(world, whole, 1000, 1000)
        passage.reaches(IN2, 6112)
        seen.add(number(passage.one.data))
    assert len(seen | {4711}) == 3


def test_what_comes_from_outside_keeps_its_identification():
    world = World()
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    whole = packets.udp(OUT1, 53, *public, PAYLOAD, fragment=0, identification=4711)
    assert number(arrive(world, whole, 1000, 1000).one.data) == 4711
