"""What is read ahead of a store that is still written, and the rest later, is what is in it at last."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from ipmasq.continuity.encoding import encode
from ipmasq.continuity.kept import BOOT, Found, Location
from ipmasq.continuity.reading import Reading
from ipmasq.continuity.store import Store
from ipmasq.core.changes import Key, Kind, Record
from tests.continuity.test_kept import INSPECTED, MAPPED, PLAIN

NOW = 500.0
POOL = Record(Kind.POOL, 0, [17, bytes((203, 0, 113, 1)), [[1, 65535]], False])


def location(directory: Path, **about: str) -> Location:
    return Location(directory / "state.db", {BOOT: "first", "namespace": "7"} | about, False)


def begun(where: Location) -> Store:
    store = where.find(NOW, 0.0).store
    assert store is not None
    return store


def turn(chance: Random, last: dict[Key, Record]) -> list[Record]:
    """What happens to some of a few flows and mappings in one turn. `last`: the last records of all."""
    records = []
    for flow in chance.sample(range(1, 30), chance.randrange(6)):
        own = bytes((flow,)) * 12
        plain = (*PLAIN[:3], own, *PLAIN[4:7], own[::-1], *PLAIN[8:])
        row = chance.choice([plain, INSPECTED, None])
        records.append(Record(Kind.FLOW, flow, row))
    for port in chance.sample(range(5000, 5030), chance.randrange(6)):
        records.append(Record(Kind.MAPPING, port, chance.choice([MAPPED, None])))
    last.update({each[:2]: each for each in records})
    return records


def contents(found: Found) -> tuple[object, ...]:
    assert found.plain is not None
    plain = found.plain.compact
    return sorted(found.kept), plain.flows, plain.moments, plain.mappings, found.others, found.age


@pytest.mark.parametrize("seed", range(20))
def test_what_is_read_in_two_parts_is_the_same_as_what_is_read_at_once(tmp_path: Path, seed: int):
    chance, where = Random(seed), location(tmp_path)
    store = begun(where)
    count = chance.randrange(1, 60)
    cut, snapshot = chance.randrange(count), chance.randrange(count)
    ahead, last = None, {POOL[:2]: POOL}
    store.append(encode(0.0, 0.0, [POOL]))
    for number in range(count):
        if number == cut:
            ahead = where.read_ahead(NOW, 0.0)
            assert ahead is not None
        if number == snapshot:
            store.begin_snapshot()
            alive = [each for each in last.values() if each.row is not None]
            store.append(encode(float(number), 0.0, alive))
            store.end_snapshot()
            store.trim()
        store.append(encode(float(number), 0.0, turn(chance, last)))
    store.close()
    both = where.find(NOW, 0.0, ahead)
    assert both.store is not None
    both.store.close()
    assert contents(both) == contents(where.find(NOW, 0.0))


def test_the_rest_is_read_alone(tmp_path: Path) -> None:
    where = location(tmp_path)
    store = begun(where)
    store.append(encode(1.0, 0.0, [Record(Kind.GATEWAY, "first", 1)]))
    ahead = where.read_ahead(NOW, 0.0)
    assert ahead is not None
    store.append(encode(2.0, 0.0, [Record(Kind.GATEWAY, "second", 2)]))
    store.close()
    with sqlite3.connect(tmp_path / "state.db") as changed:
        changed.execute("UPDATE log SET changes = 'unreadable' WHERE turn = 1")
    changed.close()
    found = where.find(NOW, 0.0, ahead)
    assert (found.others, found.refused) == ({"first": 1, "second": 2}, "")


def test_what_has_ended_before_a_later_snapshot_does_not_come_back(tmp_path: Path) -> None:
    where = location(tmp_path)
    store = begun(where)
    first, second = Record(Kind.GATEWAY, "first", 1), Record(Kind.GATEWAY, "second", 2)
    store.append(encode(1.0, 0.0, [first]))
    ahead = where.read_ahead(NOW, 0.0)
    store.append(encode(2.0, 0.0, [first._replace(row=None), second]))
    store.begin_snapshot()
    store.append(encode(3.0, 0.0, [second]))
    store.end_snapshot()
    store.trim()
    store.close()
    assert where.find(NOW, 0.0, ahead).others == {"second": 2}


def test_another_file_in_its_place_is_read_from_the_beginning(tmp_path: Path) -> None:
    """As when the predecessor's store has failed meanwhile, and was begun anew."""
    where = location(tmp_path)
    store = begun(where)
    store.append(encode(1.0, 0.0, [Record(Kind.GATEWAY, "first", 1)]))
    ahead = where.read_ahead(NOW, 0.0)
    store.close()
    store = where.begin()
    store.append(encode(2.0, 0.0, [Record(Kind.GATEWAY, "other", 1)]))
    store.append(encode(2.0, 0.0, [Record(Kind.GATEWAY, "second", 2)]))
    store.close()
    assert where.find(NOW, 0.0, ahead).others == {"other": 1, "second": 2}


@pytest.mark.parametrize("about", [{"namespace": "8"}, {BOOT: "second"}])
def test_the_state_of_another_host_or_namespace_is_not_read_ahead(
    tmp_path: Path, about: dict[str, str]
) -> None:
    store = begun(location(tmp_path))
    store.append(encode(1.0, 0.0, [Record(Kind.GATEWAY, "first", 1)]))
    assert location(tmp_path, **about).read_ahead(NOW, 0.0) is None


@pytest.mark.parametrize("data", [None, b"no database " * 99])
def test_what_cannot_be_read_ahead_is_left_to_whoever_reads_it_all(
    tmp_path: Path, data: bytes | None
) -> None:
    if data is not None:
        (tmp_path / "state.db").write_bytes(data)
    assert location(tmp_path).read_ahead(NOW, 0.0) is None
    assert {each.name for each in tmp_path.iterdir()} == ({"state.db"} if data else set())


def open_below(directory: Path) -> Iterator[str]:
    """Yield the files in a directory of which this process has a descriptor."""
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            if (file := os.readlink(each)).startswith(str(directory)):
                yield file


def test_a_reading_of_nothing_belongs_to_no_file(tmp_path: Path) -> None:
    begun(location(tmp_path)).close()
    reading = location(tmp_path).read_ahead(NOW, 0.0)
    assert reading is not None
    assert list(open_below(tmp_path))
    assert [reading.close(), reading.close(), Reading().close()] == [True, False, False]
    assert not list(open_below(tmp_path))
