"""A successor finds what an earlier process has kept, if it is of use, and starts in any case."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from ipmasq.continuity.encoding import encode
from ipmasq.continuity.kept import BOOT, Found, Location
from ipmasq.core.changes import Kind, Record
from ipmasq.core.compact import pack_flow, pack_mapping

ABOUT = {BOOT: "first", "namespace": "7"}
ROWS = [
    Record(Kind.FLOW, 1, ["old"]),
    Record(Kind.FLOW, 2, ["gone"]),
    Record(Kind.GATEWAY, "forwards", [["web"]]),
]


def location(path: Path, durable: bool = False, **about: str) -> Location:
    return Location(path / "state.db", ABOUT | about, durable)


def keep(where: Location, *batches: bytes) -> None:
    found = where.find(0.0, 0.0)
    assert found.store is not None
    for each in batches:
        found.store.append(each)
    found.store.close()


def two_turns() -> tuple[bytes, bytes]:
    later = [Record(Kind.FLOW, 1, ["new"]), Record(Kind.FLOW, 2, None)]
    return encode(100.0, 5000.0, ROWS), encode(110.0, 5010.0, later)


def summary(found: Found) -> list[tuple[int, int | str, object, float]]:
    return [tuple(each) for each in found.kept]  # type: ignore[misc]


def test_of_each_thing_the_last_record_counts_with_its_moment(tmp_path: Path) -> None:
    keep(location(tmp_path), *two_turns())
    found = location(tmp_path).find(130.0, 9e9)
    assert summary(found) == [(Kind.FLOW, 1, ["new"], 110.0)]
    assert found.others == {"forwards": [["web"]]}
    assert (found.age, found.refused, found.trouble) == (20.0, "", "")


@pytest.mark.row("HA-11")
def test_a_jump_of_the_wall_clock_changes_no_age(tmp_path: Path) -> None:
    keep(location(tmp_path), *two_turns())
    for wall in (0.0, 5010.0, 1e12):
        found = location(tmp_path).find(130.0, wall)
        assert found.age == 20.0
        assert found.store is not None
        found.store.close()


def test_after_a_restart_of_the_host_only_a_durable_state_is_found_and_is_aged_by_the_wall_clock(
    tmp_path: Path,
) -> None:
    keep(location(tmp_path), *two_turns())
    assert location(tmp_path, boot="second").find(3.0, 5310.0).kept == []
    durable = tmp_path / "durable"
    keep(location(durable, durable=True), *two_turns())
    found = location(durable, durable=True, boot="second").find(3.0, 5310.0)
    assert found.age == 300.0
    assert summary(found) == [(Kind.FLOW, 1, ["new"], -297.0)]
    assert found.store is not None
    found.store.close()
    earlier = location(durable, durable=True, boot="second").find(3.0, 1.0)
    assert earlier.age == 0.0, "a clock that went back makes nothing younger than now"


def test_the_state_of_another_network_namespace_gives_way_to_a_new_one(tmp_path: Path) -> None:
    keep(location(tmp_path), *two_turns())
    here = location(tmp_path, namespace="8")
    found = here.find(130.0, 0.0)
    assert (found.kept, found.refused, found.trouble) == ([], "", "")
    assert found.store is not None
    found.store.append(two_turns()[0])
    found.store.close()
    assert here.find(130.0, 0.0).kept != []


@pytest.mark.parametrize("damage", [b"no database " * 99, b""])
def test_a_file_that_cannot_be_read_is_set_aside_and_a_new_one_is_begun(
    tmp_path: Path, damage: bytes
) -> None:
    (tmp_path / "state.db").write_bytes(damage)
    found = location(tmp_path).find(0.0, 0.0)
    assert found.store is not None
    assert bool(found.refused) is bool(damage)
    assert (tmp_path / "state.db.refused").exists() is bool(damage)
    assert found.kept == []


def test_a_damaged_batch_is_refused(tmp_path: Path) -> None:
    first, second = two_turns()
    keep(location(tmp_path), first, second[:-1])
    found = location(tmp_path).find(130.0, 0.0)
    assert "damaged" in found.refused
    assert (found.kept, found.others) == ([], {})
    assert found.store is not None


@pytest.mark.parametrize("value", ["text", 12, 1.5])
def test_a_batch_of_another_type_is_refused(tmp_path: Path, value: object) -> None:
    where = Location(tmp_path / "state.db", ABOUT, False)
    store = where.find(0.0, 0.0).store
    assert store is not None
    store.close()
    with sqlite3.connect(tmp_path / "state.db") as changed:
        changed.execute("INSERT INTO log VALUES (1, ?)", (value,))
    changed.close()
    assert where.read_ahead(0.0, 0.0) is None
    assert "not stored as bytes" in where.find(0.0, 0.0).refused


def test_a_file_that_another_process_has_is_not_touched(tmp_path: Path) -> None:
    first = location(tmp_path).find(0.0, 0.0)
    assert first.store is not None
    second = location(tmp_path).find(0.0, 0.0)
    assert second.store is None
    assert "locked" in second.trouble
    first.store.append(b"still there")


def test_a_directory_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = Location(tmp_path / "file" / "state.db", ABOUT, durable=False).find(0.0, 0.0)
    assert found.store is None
    assert "state.db" in found.trouble


def test_nobody_else_may_read_it_since_it_has_what_users_typed(tmp_path: Path) -> None:
    keep(location(tmp_path), *two_turns())
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", tmp_path / "state.db")
    found = location(tmp_path).find(0.0, 0.0)
    assert not (tmp_path / "elsewhere").exists()
    assert found.store is None or not (tmp_path / "state.db").is_symlink()


PLAIN = (
    17, 1, 0, bytes(range(12)), 1, 28, 0, bytes(range(12, 24)), 1, 28, 0, 2.0, 1.0, 0, True, True, False,
    0, "rule 1", False, None, 300.0, None, None, None, None, None, None, None,
)  # fmt: skip
INSPECTED = [*PLAIN[:22], {"an": "inspector"}, 1.0, *PLAIN[24:]]
MAPPED = bytes(7), False, True


def test_of_a_plain_flow_the_last_row_counts_with_its_moment(tmp_path: Path) -> None:
    first = [Record(Kind.FLOW, number, PLAIN) for number in (1, 2, 3)]
    first += [Record(Kind.MAPPING, number, MAPPED) for number in (70, 71)]
    newer = *PLAIN[:4], 9, *PLAIN[5:]
    second = [
        Record(Kind.FLOW, 1, newer),
        Record(Kind.FLOW, 2, None),
        Record(Kind.MAPPING, 70, None),
    ]
    keep(location(tmp_path), encode(100.0, 0.0, first), encode(110.0, 0.0, second))
    found = location(tmp_path).find(130.0, 0.0)
    assert (found.kept, found.age) == ([], 20.0)
    assert found.plain is not None
    assert found.plain.compact.flows == {1: pack_flow(newer), 3: pack_flow(PLAIN)}
    assert found.plain.compact.moments == {1: 110.0, 3: 100.0}
    assert found.plain.compact.mappings == {71: pack_mapping(MAPPED)}


def test_a_flow_that_is_inspected_later_or_no_longer_has_one_record(tmp_path: Path) -> None:
    first = [Record(Kind.FLOW, 1, PLAIN), Record(Kind.FLOW, 2, INSPECTED)]
    second = [Record(Kind.FLOW, 1, INSPECTED), Record(Kind.FLOW, 2, PLAIN)]
    keep(location(tmp_path), encode(100.0, 0.0, first), encode(110.0, 0.0, second))
    found = location(tmp_path).find(130.0, 0.0)
    assert summary(found) == [(Kind.FLOW, 1, INSPECTED, 110.0)]
    assert found.plain is not None
    assert list(found.plain.flows) == [2]


NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make files of another user")
@pytest.mark.parametrize("is_in_their_directory", [False, True])
def test_what_a_user_with_fewer_rights_has_written_is_not_believed(
    tmp_path: Path, is_in_their_directory: bool
) -> None:
    """A state says which files have the code of helpers. In a directory of theirs, the file can be exchanged at any
    moment, so nothing is kept there."""
    keep(location(tmp_path), *two_turns())
    os.chown(tmp_path if is_in_their_directory else tmp_path / "state.db", NOBODY, NOBODY)
    found = location(tmp_path).find(130.0, 0.0)
    assert (found.kept, found.others) == ([], {})
    assert "another user" in found.refused + found.trouble
    assert (found.store is None) is is_in_their_directory


def test_where_everybody_may_write_nothing_is_kept(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert "another user" in location(tmp_path).find(130.0, 0.0).trouble


def test_what_is_no_file_is_set_aside(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state.db")
    found = location(tmp_path).find(0.0, 0.0)
    assert "no file" in found.refused
    assert found.store is not None
    found.store.close()
