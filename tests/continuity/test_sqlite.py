"""The embedded store on real files: full disks, damage at every page, and processes that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipmasq.continuity.sqlite import TRIM, BusyError, SqliteStore, remove, set_aside
from ipmasq.continuity.store import StoreError

ABOUT = {"boot": "one"}
PAGE = 4096


def opened(path: Path, durable: bool = False) -> SqliteStore:
    return SqliteStore(path, ABOUT, durable)


def batches(path: Path) -> list[bytes]:
    store = opened(path)
    try:
        return list(store.load())
    finally:
        store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a file system")
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(directory)], check=True, timeout=10
    )
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True, timeout=10)


@pytest.mark.parametrize("durable", [False, True])
def test_batches_are_read_back_in_their_order(tmp_path: Path, durable: bool) -> None:
    store = opened(tmp_path / "state.db", durable)
    told: list[int] = []
    for number in range(20):
        store.append(bytes([number]) * number, lambda number=number: told.append(number))  # type: ignore[misc]
    assert told == list(range(20))
    assert store.size == sum(range(20))
    store.close()
    assert batches(tmp_path / "state.db") == [bytes([number]) * number for number in range(20)]
    after = opened(tmp_path / "state.db")
    assert (after.size, after.about) == (sum(range(20)), ABOUT)
    after.append(b"next")
    after.close()
    assert batches(tmp_path / "state.db")[-1] == b"next"


def test_after_a_snapshot_older_batches_are_removed_in_parts(tmp_path: Path) -> None:
    store = opened(tmp_path / "state.db")
    for _ in range(TRIM + 10):
        store.append(b"old")
    store.begin_snapshot()
    store.append(b"first")
    store.trim()
    assert len(list(store.load())) == TRIM + 11, "it is not complete yet"
    store.end_snapshot()
    store.append(b"second")
    store.trim()
    assert len(list(store.load())) == 12
    store.trim()
    store.trim()
    assert list(store.load()) == [b"first", b"second"]
    assert store.size == len(b"firstsecond")


def test_old_batches_are_removed_faster_than_new_ones_come(tmp_path: Path) -> None:
    store = opened(tmp_path / "state.db")
    for _ in range(100 * TRIM):
        store.append(b"old")
    store.begin_snapshot()
    store.append(b"new")
    store.end_snapshot()
    for _ in range(100 * TRIM // 2):
        store.append(b"new")
    assert set(store.load()) == {b"new"}


def test_a_file_that_another_process_uses_is_left_alone(tmp_path: Path) -> None:
    first = opened(tmp_path / "state.db")
    first.append(b"mine")
    with pytest.raises(BusyError):
        opened(tmp_path / "state.db")
    first.append(b"still mine")
    assert len(list(first.load())) == 2


def test_a_file_of_another_program_or_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE log (something)")
    other.close()
    with pytest.raises(StoreError, match="it is not a state of ipmasq"):
        opened(path)
    remove(path)
    opened(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreError, match="another version"):
        opened(path)


def test_what_is_no_database_is_refused_and_can_be_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"something else " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        opened(path)
    aside = set_aside(path)
    assert aside.read_bytes().startswith(b"something else")
    opened(path).close()


def test_damage_at_any_page_is_found_or_harmless(tmp_path: Path) -> None:
    """Whatever is read, if anything is, was written."""
    path = tmp_path / "state.db"
    store = opened(path)
    written = [os.urandom(700) for _ in range(60)]
    for each in written:
        store.append(each)
    store.close()
    whole, found = path.read_bytes(), 0
    for start in range(0, len(whole), PAGE):
        for at in (start, start + 1, start + 7, start + PAGE - 1):
            damaged = bytearray(whole)
            damaged[at] ^= 0x41
            path.write_bytes(damaged)
            try:
                came = batches(path)
            except StoreError:
                found += 1
            else:
                wrong = [each for each in came if each not in written]
                assert len(wrong) <= 1, "the checksum of a batch finds that"
    assert found > 20


@pytest.mark.parametrize("length", [0, 1, 50, 1000, PAGE, 2 * PAGE, 5 * PAGE + 100])
def test_a_file_that_was_cut_off_is_refused_or_shorter(tmp_path: Path, length: int) -> None:
    path = tmp_path / "state.db"
    store = opened(path)
    for _ in range(60):
        store.append(b"x" * 700)
    store.close()
    path.write_bytes(path.read_bytes()[:length])
    try:
        came = batches(path)
    except StoreError:
        return
    assert all(each == b"x" * 700 for each in came)
    assert len(came) < 60


def test_a_number_after_which_there_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    SqliteStore(path, {}).close()
    with sqlite3.connect(path) as changed:
        changed.execute("INSERT INTO log VALUES (?, x'00')", ((1 << 63) - 1,))
    changed.close()
    store = SqliteStore(path, {})
    with pytest.raises(StoreError):
        store.append(b"more")
    store.close()


@pytest.mark.parametrize(
    ("after", "has_all"), [(0, False), (1, False), (2, True), (5, True), (6, False)]
)
def test_it_is_known_whether_a_batch_is_missing(tmp_path: Path, after: int, has_all: bool) -> None:
    store = SqliteStore(tmp_path / "state.db", {})
    assert store.has_all(0)
    store.append(b"first")
    store.append(b"second")
    store.begin_snapshot()
    for _ in range(3):
        store.append(b"more")
    assert store.has_all(0)
    store.end_snapshot()
    store.trim()
    assert store.has_all(after) is has_all
    store.close()


def test_a_full_disk_is_an_error_and_what_was_kept_stays(small_disk: Path) -> None:
    store = opened(small_disk / "state.db")
    with pytest.raises(StoreError, match="full"):
        fill(store)
    assert len(list(store.load())) > 3
    store.close()
    remove(small_disk / "state.db")
    store = opened(small_disk / "state.db")
    store.append(b"again")
    store.close()


def fill(store: SqliteStore) -> None:
    for _ in range(100):
        store.append(b"x" * 50_000)


WRITER = """
import sys
from pathlib import Path
from ipmasq.continuity.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), {"boot": "one"})
number = 0
while True:
    store.append(number.to_bytes(4, "big") * 100)
    number += 1
    print(number, flush=True)
"""


def test_a_process_that_is_killed_between_any_two_writes_loses_none_of_them(tmp_path: Path) -> None:
    for delay in (1, 20, 300):
        path = tmp_path / f"{delay}.db"
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(delay):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        told = int(rest[-1]) if rest else delay
        came = batches(path)
        assert came[:told] == [number.to_bytes(4, "big") * 100 for number in range(told)]
