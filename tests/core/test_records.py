"""Records of what changed: enough to go on, and nothing for packets that need no decision."""

from __future__ import annotations

import pytest

from ipmasq.continuity.encoding import encode
from ipmasq.core.changes import Kind
from ipmasq.core.offloading import Traffic
from ipmasq.core.records import FLOW_NAMES
from tests.conformance import packets
from tests.conformance.packets import SYN
from tests.conformance.world import IN1, OUT1, World
from tests.core.conversation import Conversation


def a_world() -> World:
    world = World()
    world.engine.keep_changes()
    return world


def keys(world: World) -> list[tuple[int, int | str]]:
    return [(kind, key) for kind, key, _ in world.engine.changed(world.now)]


def test_a_new_flow_is_a_flow_a_mapping_and_once_its_pool() -> None:
    world = a_world()
    world.udp(IN1, 4000, OUT1, 53)
    assert [kind for kind, _ in keys(world)] == [Kind.POOL, Kind.MAPPING, Kind.FLOW]
    world.udp(IN1, 4001, OUT1, 53)
    assert [kind for kind, _ in keys(world)] == [Kind.MAPPING, Kind.FLOW]
    assert keys(world) == []


def test_packets_of_an_offloadable_flow_change_no_record() -> None:
    world = a_world()
    out = world.udp(IN1, 4000, OUT1, 53).one
    world.udp(OUT1, 53, out.source.address, out.source.port)
    assert (Kind.FLOW, 1) in keys(world)
    for _ in range(3):
        world.udp(IN1, 4000, OUT1, 53)
    assert keys(world) == []


def test_a_flow_that_is_sent_in_one_direction_changes_no_record_after_its_second_packet() -> None:
    world = a_world()
    for _ in range(3):
        world.udp(IN1, 4000, OUT1, 53)
    keys(world)
    world.udp(IN1, 4000, OUT1, 53)
    assert keys(world) == []


def test_what_has_ended_is_gone() -> None:
    world = a_world()
    world.udp(IN1, 4000, OUT1, 53)
    before = {key for key in keys(world) if key[0] != Kind.POOL}
    world.engine.close(1, world.now)
    gone = world.engine.changed(world.now)
    assert {(kind, key) for kind, key, _ in gone} == before
    assert all(row is None for _, _, row in gone)


def test_flows_that_were_in_use_are_refreshed_in_parts() -> None:
    world = a_world()
    for port in range(4000, 4005):
        out = world.udp(IN1, port, OUT1, 53).one
        world.udp(OUT1, 53, out.source.address, out.source.port)
    keys(world)
    world.later(10)
    world.udp(IN1, 4000, OUT1, 53)
    world.udp(IN1, 4004, OUT1, 53)
    last = world.engine.refresh(0, 3, world.now - 1)
    assert last == 3
    assert keys(world) == [(Kind.FLOW, 1)]
    assert world.engine.refresh(last, 3, world.now - 1) == 0
    (record,) = world.engine.changed(world.now)
    assert record.key == 5
    assert isinstance(record.row, tuple)
    assert record.row[FLOW_NAMES.index("last_seen")] == 0.0


def test_what_a_fast_path_reports_too_late_for_a_refresh_is_a_change_at_once() -> None:
    world = a_world()
    world.udp(IN1, 4000, OUT1, 53)
    keys(world)
    world.later(10)
    begun = world.engine.manager.changes.refreshed_from = world.now
    world.engine.report(1, (Traffic(begun + 0.5, 3, 300, 0), None))
    assert keys(world) == []
    world.engine.refresh(0, 3, begun)
    assert keys(world) == [(Kind.FLOW, 1)]
    world.engine.manager.changes.refreshed_from = begun + 1
    world.engine.report(1, (Traffic(begun + 0.9, 4, 400, 0), None))
    (record,) = world.engine.changed(world.now)
    assert isinstance(record.row, tuple)
    assert record.row[FLOW_NAMES.index("out_packets")] == 8


def test_a_packet_depends_on_the_records_of_an_inspected_flow_only() -> None:
    world = a_world()
    world.tcp(IN1, 4000, OUT1, 80, SYN, seq=7)
    assert not world.engine.has_dependent_changes
    talk = Conversation()
    talk.engine.keep_changes()
    talk.open()
    talk.engine.changed(talk.now)
    assert not talk.engine.has_dependent_changes
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    assert talk.engine.has_dependent_changes
    kinds = [kind for kind, _, _ in talk.engine.changed(talk.now)]
    assert kinds == [Kind.EXPECTATION, Kind.MAPPING, Kind.FLOW]


@pytest.mark.row("A-32")
def test_fragments_that_wait_are_written_at_the_end_and_not_as_they_come() -> None:
    """Or strangers would decide how much is written: 64 kB for each packet of a few bytes."""
    world = a_world()
    for piece in packets.fragments(packets.udp(IN1, 5000, OUT1, 53, bytes(3000)), 800, 800)[:-1]:
        world.send(piece)
    assert keys(world) == []
    world.engine.mark_all_but_flows()
    assert keys(world)[-1] == (Kind.DATAGRAM, 1)


@pytest.mark.row("A-16")
def test_segments_that_are_early_are_not_written_with_each_packet() -> None:
    talk = Conversation()
    talk.engine.keep_changes()
    talk.open()
    for at in range(100, 60_000, 1000):
        talk.client(b"A" * 1000, at)
    talk.client(b"NOOP\r\n", 0)
    written = sum(len(encode(0, 0, [each])) for each in talk.engine.changed(talk.now))
    assert written < 4000
