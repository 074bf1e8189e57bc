"""Rows of a fixed size: a plain flow has one that says all that its record says, any other flow has none."""

from __future__ import annotations

from random import Random

from ipmasq.core.changes import Kind
from ipmasq.core.compact import pack_flow, pack_mapping, unpack_flow
from ipmasq.core.records import FLOW_NAMES
from tests.core.stress import Stress


def rows(seed: int, kind: Kind) -> list[tuple[object, ...]]:
    """Records of one kind, from a random run."""
    stress, chance, found = Stress(2.0**24), Random(seed), list[tuple[object, ...]]()
    for _ in range(300):
        Stress.EVENTS[chance.randrange(8)](stress, chance.randrange)
        stress.engine.events()
        found += [each.row for each in stress.engine.records(stress.now) if each.kind == kind]
    return found


def test_the_row_of_a_plain_flow_says_what_its_record_says() -> None:
    packed = 0
    for record in rows(1, Kind.FLOW):
        row = pack_flow(record)
        if row is not None:
            assert unpack_flow(row) == record
            packed += 1
    assert packed > 100


def test_the_marks_of_a_fast_path_are_in_the_row() -> None:
    (plain, *_) = [each for each in rows(1, Kind.FLOW) if pack_flow(each) is not None]
    marked = *plain[:-1], (1 << 63, 7)
    row = pack_flow(marked)
    assert row is not None
    assert unpack_flow(row) == marked


def test_a_flow_with_more_to_say_has_no_row() -> None:
    (plain, *_) = [each for each in rows(1, Kind.FLOW) if pack_flow(each) is not None]
    for name, value in {
        "inspector": {}, "master": 1, "over": 1, "unconfirmed": 1, "unconfirmed_inspected": 1, "syn": [],
        "has_server_mapping": True, "due": None, "out": bytes(36), "state": 4, "protocol": 47,
        "origin_name": "x" * 25,
    }.items():  # fmt: skip
        other = list(plain)
        other[FLOW_NAMES.index(name)] = value
        assert pack_flow(other) is None, name


def test_a_mapping_of_ipv6_has_no_row() -> None:
    assert pack_mapping((bytes(7), False, True)) is not None
    assert pack_mapping((bytes(19), False, True)) is None
