"""A saved state is put where the next gateway finds it, unless another user may have written it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipmasq.continuity.kept import Location
from ipmasq.continuity.placing import put
from ipmasq.continuity.sqlite import SqliteStore
from ipmasq.continuity.store import StoreError
from tests.continuity.states import ABOUT, CHANGED, WALL, batches, write

NOW = 130.0


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return write(tmp_path / "saved")


def location(tmp_path: Path, durable: bool = False, **about: str) -> Location:
    return Location(tmp_path / "run" / "state.db", ABOUT | about, durable)


def test_the_next_gateway_finds_all_that_was_saved_with_its_age(
    tmp_path: Path, saved: Path
) -> None:
    where = location(tmp_path)
    found, replaced = put(saved, where, NOW, 0.0)
    assert (found.flows(), replaced) == ({6: 1, 17: 2}, None)
    assert where.path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(where.path.parent) == ["state.db"]
    taken = where.find(NOW, 0.0)
    assert (taken.age, taken.others, taken.refused) == (20.0, CHANGED, "")
    assert taken.plain is not None
    assert len(taken.plain.flows) == 2
    assert set(taken.plain.compact.moments.values()) == {110.0}
    assert taken.store is not None
    taken.store.close()


@pytest.mark.parametrize("durable", [False, True])
def test_a_state_of_an_earlier_run_of_the_host_is_aged_by_the_wall_clock(
    tmp_path: Path, saved: Path, durable: bool
) -> None:
    where = location(tmp_path, durable, boot="second", namespace="8")
    put(saved, where, 5.0, WALL + 310)
    taken = where.find(6.0, WALL + 5000)
    assert taken.age == 301.0
    assert taken.plain is not None
    assert set(taken.plain.compact.moments.values()) == {-295.0}
    assert taken.store is not None
    taken.store.close()


def test_the_state_that_was_there_gets_another_name(tmp_path: Path, saved: Path) -> None:
    where = location(tmp_path)
    where.path.parent.mkdir()
    write(where.path, b"old")
    Path(f"{where.path}-wal").write_bytes(b"of the old one")
    for _ in range(2):
        _, replaced = put(saved, where, NOW, 0.0)
        assert replaced == where.path.with_name("state.db.replaced")
    assert sorted(os.listdir(where.path.parent)) == ["state.db", "state.db.replaced"]
    assert where.find(NOW, 0.0).refused == ""


def test_what_is_not_yet_in_the_file_itself_is_loaded(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "saved", ABOUT)
    for each in batches():
        store.append(each)
    found, _ = put(tmp_path / "saved", location(tmp_path), NOW, 0.0)
    assert found.flows() == {6: 1, 17: 2}
    store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make files of another user")
def test_it_belongs_to_the_user_to_whom_the_directory_belongs(tmp_path: Path, saved: Path) -> None:
    where = location(tmp_path)
    where.path.parent.mkdir()
    os.chown(where.path.parent, 65534, 65534)
    put(saved, where, NOW, 0.0)
    assert (where.path.stat().st_uid, where.path.stat().st_gid) == (65534, 65534)


def refusal(saved: Path, where: Location) -> str:
    """Why it is refused; then nothing has changed."""
    with pytest.raises(StoreError) as raised:
        put(saved, where, NOW, 0.0)
    assert not where.path.parent.exists()
    return str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make files of another user")
def test_the_file_of_another_user_is_refused(tmp_path: Path, saved: Path) -> None:
    os.chown(saved, 65534, 65534)
    assert "is another user's file" in refusal(saved, location(tmp_path))
    os.chown(saved, 0, 0)
    wal = tmp_path / "saved-wal"
    wal.write_bytes(b"")
    os.chown(wal, 65534, 65534)
    assert f"{wal} is another user's file" in refusal(saved, location(tmp_path))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, saved: Path, mode: int) -> None:
    saved.chmod(mode)
    assert f"other users may write {saved}" in refusal(saved, location(tmp_path))
    saved.chmod(0o644)
    assert put(saved, location(tmp_path), NOW, 0.0)


def test_a_state_that_is_not_sound_is_refused(tmp_path: Path) -> None:
    first, second = batches()
    damaged = write(tmp_path / "damaged", first, second[:-1])
    assert (
        refusal(damaged, location(tmp_path))
        == f"{damaged}: a batch is damaged: its checksum is wrong"
    )
    (tmp_path / "notes").write_text("no state")
    assert "cannot be read as a database" in refusal(tmp_path / "notes", location(tmp_path))


def test_one_that_cannot_be_put_in_place_changes_nothing(tmp_path: Path, saved: Path) -> None:
    where = location(tmp_path)
    (where.path.parent / "state.db.replaced").mkdir(parents=True)  # where the old one has to go
    write(where.path, b"old")
    before = {each.name: each.stat().st_ino for each in where.path.parent.iterdir()}
    with pytest.raises(OSError, match=r"state\.db\.replaced"):
        put(saved, where, NOW, 0.0)
    assert {each.name: each.stat().st_ino for each in where.path.parent.iterdir()} == before
