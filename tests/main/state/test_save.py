"""`ipmasq state save` writes a copy as a whole, and replaces nothing unless it is told to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ipmasq.continuity.contents import read
from ipmasq.continuity.sqlite import SqliteStore
from tests.continuity.states import ABOUT, batches, write
from tests.front.conftest import Ipmasq

Save = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def save(ipmasq: Ipmasq, config: Path) -> Save:
    return lambda *arguments: ipmasq("state", "save", "-c", config, *arguments)


def test_a_copy_holds_all_in_one_file_which_only_its_owner_may_read(
    save: Save, state: Path, tmp_path: Path
) -> None:
    store = SqliteStore(state, ABOUT)  # a gateway has it open
    for each in batches():
        store.append(each)
    before = set(os.listdir(tmp_path))
    done = save(tmp_path / "saved")
    assert (done.returncode, done.stdout) == (0, f"saved to {tmp_path}/saved\n")
    assert set(os.listdir(tmp_path)) - before == {"saved"}
    assert (tmp_path / "saved").stat().st_mode & 0o777 == 0o600
    assert read(tmp_path / "saved").flows() == {6: 1, 17: 2}
    store.append(b"it can still be written")
    store.close()


def test_a_file_is_replaced_only_with_force(save: Save, state: Path, tmp_path: Path) -> None:
    write(state)
    saved = tmp_path / "saved"
    saved.write_text("precious")
    done = save(saved)
    assert done.returncode == 1
    assert done.stderr == f"ipmasq: {saved} exists already; --force replaces it\n"
    assert saved.read_text() == "precious"
    assert save(saved, "--force").returncode == 0
    assert read(saved).flows() == {6: 1, 17: 2}


def test_what_a_name_points_to_is_not_written(save: Save, state: Path, tmp_path: Path) -> None:
    write(state)
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "saved").symlink_to("precious")
    assert save(tmp_path / "saved").returncode == 1
    assert save(tmp_path / "saved", "--force").returncode == 0
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "saved").is_symlink()


def test_without_a_sound_state_nothing_is_written(save: Save, state: Path, tmp_path: Path) -> None:
    before = set(os.listdir(tmp_path))
    done = save(tmp_path / "saved")
    assert done.stderr == f"ipmasq: there is no state to save: no gateway has left {state}\n"
    first, second = batches()
    write(state, first, second[:-1])
    damaged = save(tmp_path / "saved", "--force")
    assert f"nothing is saved: {state}: a batch is damaged" in damaged.stderr
    nowhere = save(tmp_path / "none" / "saved")
    assert f"there is no directory {tmp_path}/none" in nowhere.stderr
    assert [each.returncode for each in (done, damaged, nowhere)] == [1, 1, 1]
    assert set(os.listdir(tmp_path)) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_only_root_may_save(save: Save, tmp_path: Path) -> None:
    os.seteuid(65534)
    try:
        done = save(tmp_path / "saved")
    finally:
        os.seteuid(0)
    assert (done.returncode, done.stderr) == (1, "ipmasq: only root may save a state\n")
