"""What a state holds is counted, of a damaged one as far as it can be read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ipmasq.continuity.contents import Contents, read
from ipmasq.continuity.encoding import encode
from ipmasq.continuity.sqlite import LAYOUT, SqliteStore
from ipmasq.core.changes import Kind, Record
from ipmasq.core.records import VERSION
from tests.continuity.states import ABOUT, CHANGED, WALL, batches, write


def counts(found: Contents) -> tuple[object, ...]:
    return dict(found.flows()), found.mappings, dict(found.expectations()), dict(found.inspected())


def test_flows_mappings_expectations_and_inspected_connections_are_counted(tmp_path: Path) -> None:
    found = read(write(tmp_path / "state.db"))
    assert counts(found) == ({6: 1, 17: 2}, 4, {"ftp": 1}, {"ftp": 1})
    assert (found.trouble, found.layout, found.version) == ("", LAYOUT, VERSION)
    assert (found.batches, found.damaged) == (2, 0)
    assert (found.moment, found.wall) == (110.0, WALL + 10)
    assert (found.about, found.others, found.written_by) == (ABOUT, CHANGED, "1.2.3")


def test_of_an_older_state_nobody_knows_which_version_has_written_it(tmp_path: Path) -> None:
    records = [Record(Kind.REST, 0, {"version": VERSION})]
    found = read(write(tmp_path / "state.db", encode(1.0, 2.0, records)))
    assert (found.written_by, found.trouble, found.others) == ("", "", {})


def test_of_a_state_with_a_damaged_batch_the_others_are_counted(tmp_path: Path) -> None:
    first, second = batches()
    found = read(write(tmp_path / "state.db", first, second[:-1]))
    assert counts(found) == ({6: 1}, 2, {"ftp": 1}, {"ftp": 1})
    assert (found.batches, found.damaged, found.wall) == (2, 1, WALL)
    assert found.trouble == "a batch is damaged: its checksum is wrong"


def test_of_a_file_that_is_cut_off_what_can_be_read_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "state.db", *batches(), *[encode(120.0, WALL + 20, [])] * 5000)
    whole = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(whole * 3 // 4)
    found = read(path)
    assert counts(found)[0] == {6: 1, 17: 2}
    assert "damaged" in found.trouble
    assert 0 < found.batches < 5002


@pytest.mark.parametrize("text", [b"", b"no database " * 99])
def test_what_is_no_state_is_said_to_be_none(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(text)
    found = read(path)
    assert found.trouble in (
        "it is not a state of ipmasq",
        "it cannot be read as a database (file is not a database)",
    )
    assert (counts(found), found.layout, found.wall) == (({}, 0, {}, {}), 0, None)


def test_a_store_without_a_whole_state_is_said_to_have_none(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "state.db", ABOUT).close()
    assert read(tmp_path / "state.db").trouble == "it holds no whole state"


def test_the_version_of_a_state_of_another_one_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "state.db", encode(1.0, 2.0, [Record(Kind.REST, 0, {"version": 99})]))
    assert (
        read(path).trouble
        == f"its records are of version 99, and this ipmasq reads version {VERSION}"
    )
    with closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA user_version = 77")
    assert (
        read(path).trouble
        == f"its tables are of version 77, and this ipmasq reads version {LAYOUT}"
    )


def test_records_without_their_values_are_counted_as_unknown(tmp_path: Path) -> None:
    records = [
        Record(Kind.REST, 0, "no version"),
        Record(Kind.FLOW, 1, ["short"]),
        Record(Kind.EXPECTATION, 1, None),
        Record(Kind.EXPECTATION, 2, 5),
    ]
    found = read(write(tmp_path / "state.db", encode(1.0, 2.0, records)))
    assert counts(found) == ({-1: 1}, 0, {"unknown": 1}, {})
    assert "its records are of version None" in found.trouble


def test_a_view_that_stands_for_a_table_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "state.db")
    endless = (
        "WITH RECURSIVE n(turn) AS (SELECT 1 UNION ALL SELECT turn + 1 FROM n) SELECT * FROM n"
    )
    with closing(sqlite3.connect(path)) as store:
        store.execute("ALTER TABLE log RENAME TO other")
        store.execute(f"CREATE VIEW log AS SELECT turn, x'00' AS changes FROM ({endless})")
    assert read(path).trouble == "it is damaged (it has a view, which may have no end)"
