"""A copy of a store is consistent, also while the store is written."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from ipmasq.continuity import copying
from ipmasq.continuity.copying import copy
from ipmasq.continuity.sqlite import SqliteStore
from ipmasq.continuity.store import StoreError
from tests.background import in_background

FILLING = bytes(3000)


def numbers(path: Path) -> list[int]:
    store = SqliteStore(path, {})
    found = [int.from_bytes(each[:8], "big") for each in store.load()]
    store.close()
    return found


def test_what_is_not_yet_in_the_file_itself_is_copied(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db", {})
    for number in range(3):
        store.append(number.to_bytes(8, "big"))
    assert (tmp_path / "state.db-wal").stat().st_size > 0
    copy(tmp_path / "state.db", tmp_path / "copy.db")
    assert numbers(tmp_path / "copy.db") == [0, 1, 2]
    store.close()
    copy(tmp_path / "state.db", tmp_path / "copy.db")
    assert numbers(tmp_path / "copy.db") == [0, 1, 2]


def test_copies_that_are_made_while_the_store_is_written_have_all_that_was_appended_before(
    tmp_path: Path,
) -> None:
    """The WAL is moved into the file about every 1,300 batches, and old batches are removed."""
    written = 0

    def write(over: threading.Event) -> None:
        nonlocal written
        store, number = SqliteStore(tmp_path / "state.db", {}), 0
        while not over.is_set():
            if number % 500 == 0:
                store.begin_snapshot()
            store.append(number.to_bytes(8, "big") + FILLING)
            written = number = number + 1
            if number % 20 == 0:
                time.sleep(0.005)  # a store that is always written cannot be copied on a slow disk
            if number % 500 == 250:
                store.end_snapshot()
        store.close()

    wal = tmp_path / "state.db-wal"
    begun = set()
    with in_background(write):
        while written < 10:
            time.sleep(0.001)
        deadline = time.monotonic() + 60
        while len(begun) < 4:
            assert time.monotonic() < deadline
            before = written
            copy(tmp_path / "state.db", tmp_path / "copy.db")
            begun.add(wal.read_bytes()[16:24])  # its salts
            found = numbers(tmp_path / "copy.db")
            assert found == list(range(found[0], found[-1] + 1))
            assert found[-1] >= before - 1
            (tmp_path / "copy.db").unlink()


def test_a_copy_is_made_again_if_the_store_was_moved_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PAUSE", 0.001)
    path, seen = tmp_path / "state.db", list[int]()
    SqliteStore(path, {}).close()

    def exchange(_: Path, found: os.stat_result) -> None:
        seen.append(found.st_ino)
        if len(seen) < 3:
            path.rename(tmp_path / f"old{len(seen)}.db")
            SqliteStore(path, {}).close()

    copy(path, tmp_path / "copy.db", exchange)
    assert len(set(seen)) == len(seen) == 3

    def always(_: Path, found: os.stat_result) -> None:
        path.rename(tmp_path / f"old{found.st_ino}.db")
        SqliteStore(path, {}).close()

    with pytest.raises(StoreError, match="faster than it can be copied"):
        copy(path, tmp_path / "copy.db", always)


def test_only_files_are_copied(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "state.db", {}).close()
    (tmp_path / "link.db").symlink_to("state.db")
    with pytest.raises(OSError, match="link"):
        copy(tmp_path / "link.db", tmp_path / "copy.db")
    os.mkfifo(tmp_path / "pipe.db")
    with pytest.raises(StoreError, match="is no file"):
        copy(tmp_path / "pipe.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_nobody_else_may_read_a_copy(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "state.db", {}).close()
    (tmp_path / "state.db").chmod(0o644)
    copy(tmp_path / "state.db", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
