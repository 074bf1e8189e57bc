"""What verdicts command a fast path to do, and when."""

from __future__ import annotations

from ipmasq.core.offloading import Command, Move, Offload, Relate, Track, Traffic, Withdraw
from ipmasq.core.speaker import Speaker
from ipmasq.wire.addresses import Endpoint
from tests.conformance.conversation import CLIENT, Conversation
from tests.conformance.packets import ACK, FIN, SYN
from tests.conformance.world import IN1, OUT1, World
from tests.core.announcer import here, use

TALK = IN1, 4000, OUT1, 80


def opened(fast: bool = True) -> tuple[World, list[list[Command]]]:
    """An established connection, and the commands of the verdicts of its three packets."""
    world = World()
    if fast:
        flows = world.engine.table.flows
        world.engine.set_counter_source(lambda n: (None, None) if flows[n].offloadable else None)
    carried = []
    public = world.tcp(*TALK, SYN, seq=100).one.source
    carried.append(world.commands)
    world.tcp(OUT1, 80, *public, SYN | ACK, seq=500, ack=101)
    carried.append(world.commands)
    world.tcp(*TALK, ACK, seq=101, ack=501)
    return world, [*carried, world.commands]


def test_the_verdict_of_the_packet_that_brings_it_about_carries_the_command():
    world, (syn, answer, ack) = opened()
    [track], [offload] = syn, answer
    [flow] = world.engine.table.flows.values()
    assert isinstance(track, Track)
    assert isinstance(offload, Offload)
    assert track.flow == offload.flow == flow.id
    assert (offload.original.match, offload.original.rewrite) == (
        flow.original.match,
        flow.original.rewrite,
    )
    assert offload.reply.position == 501 << 32 | 101
    [move] = ack
    assert move == Move(flow.id, Speaker.CLIENT, offload.original.position, 101 << 32 | 501)
    world.tcp(*TALK, FIN | ACK, seq=101, ack=501)
    assert [type(each) for each in world.commands] == [Track]


def test_without_a_fast_path_there_are_no_commands():
    world, commands = opened(fast=False)
    assert commands == [[], [], []]
    assert world.engine.commands() == []


def test_the_end_of_a_flow_is_commanded_before_its_successor_is():
    world, _ = opened()
    [flow] = world.engine.table.flows
    assert world.engine.close(flow, world.now)
    world.tcp(*TALK, SYN, seq=7000)
    withdraw, track = world.commands
    assert withdraw == Withdraw(flow)
    assert isinstance(track, Track)
    assert world.engine.commands() == []


def test_what_a_timer_ends_is_commanded_without_a_packet():
    world, _ = opened()
    [flow] = world.engine.table.flows
    world.later(1e6)
    assert world.engine.commands() == [Withdraw(flow)]
    assert world.engine.commands() == []


def test_a_flow_that_a_new_fast_path_does_not_know_is_restated_as_it_is_now():
    world, _ = opened(fast=False)
    [flow] = world.engine.table.flows
    world.engine.set_counter_source(lambda flow: None)
    world.engine.restate(flow)
    world.engine.restate(flow + 1)
    [offload] = world.engine.commands()
    assert isinstance(offload, Offload)
    assert offload.original.position == 101 << 32 | 501


def test_a_position_that_the_engine_moves_is_commanded_only_where_the_flow_is_offloaded():
    world, _ = opened()
    world.tcp(*TALK, ACK, seq=101, ack=501, payload=b"hello")
    [move] = world.commands
    assert isinstance(move, Move)
    assert (move.before, move.after) == (101 << 32 | 501, 106 << 32 | 501)
    world.engine.set_counter_source(lambda flow: None)
    world.tcp(*TALK, ACK, seq=106, ack=501, payload=b"hello")
    assert world.commands == []


def test_what_was_forwarded_elsewhere_counts_before_the_next_packet_is_judged():
    world, _ = opened()
    [flow] = world.engine.table.flows.values()
    elsewhere = Traffic(world.now, 3, 3000, 3101 << 32 | 501)
    world.engine.set_counter_source(lambda flow: (elsewhere, None))
    world.tcp(*TALK, FIN | ACK, seq=3101, ack=501)
    assert flow.original.packets == 2 + 3 + 1
    assert flow.original.end == 3102


def test_a_data_flow_from_outside_is_related_to_its_control_flow():
    world = World(helpers=(use(),))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    [expectation] = world.engine.expectations()
    world.tcp(OUT1, 20, *expectation.public, SYN, seq=1)
    ends = Endpoint(OUT1, 20), Endpoint(IN1, 5000)
    assert world.commands == [Relate(6, *ends, 6, Endpoint(IN1, 4000), Endpoint(OUT1, 21))]
