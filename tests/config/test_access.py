"""Whether the control socket and the translation log can be opened as the file wants it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ipmasq.config.access import (
    find_problems,
    has_group,
    unknown,
    wrong_with_file,
    wrong_with_key,
)


def test_a_group_is_known_by_its_name_or_is_any_number():
    assert has_group("root")
    assert has_group("123456")
    assert not has_group("no-such-group")


def test_where_nothing_is_there_yet_there_is_no_trouble(tmp_path: Path):
    assert list(find_problems(str(tmp_path / "new" / "deep" / "socket"), "root")) == []
    assert not (tmp_path / "new").exists(), "nothing is changed"


def test_a_socket_that_is_there_is_no_trouble(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as link:
        link.bind(str(tmp_path / "socket"))
        assert list(find_problems(str(tmp_path / "socket"), None)) == []


def test_each_trouble_names_its_setting(tmp_path: Path):
    (tmp_path / "file").write_text("")
    found = dict(find_problems(str(tmp_path / "file"), "no-such-group"))
    assert "which is no socket" in found["socket"]
    assert "no-such-group" in found["group"]
    found = dict(find_problems(str(tmp_path / "file" / "socket"), None))
    assert found == {"socket": f"{tmp_path / 'file'} is no directory"}


@pytest.mark.skipif(os.geteuid() != 0, reason="another user may not write there anyway")
def test_root_is_told_where_even_it_can_make_nothing():
    found = dict(find_problems("/proc/1/socket", None))
    assert set(found) <= {"socket"}
    assert found.get("socket", "nothing can be made in /proc/1") == "nothing can be made in /proc/1"


def test_of_another_machine_nothing_is_said():
    assert list(unknown("/proc/1/socket", "no-such-group")) == []


def test_a_file_whose_directory_or_the_one_above_exists_can_be_written(tmp_path: Path):
    for name in ("log", "made/log"):
        assert wrong_with_file(str(tmp_path / name)) is None
    assert wrong_with_file(str(tmp_path)) == f"{tmp_path} is a directory"
    wrong = wrong_with_file(str(tmp_path / "not" / "yet" / "log"))
    assert wrong == f"there is no directory {tmp_path / 'not'}"
    (tmp_path / "file").touch()
    assert (
        wrong_with_file(str(tmp_path / "file" / "log"))
        == f"there is no directory {tmp_path / 'file'}"
    )
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_a_key_that_this_user_may_not_read_is_not_called_wrong(tmp_path: Path):
    key = tmp_path / "key"
    assert "cannot be read" in str(wrong_with_key(key))
    key.write_text("0123456789abcdef")
    key.chmod(0o644)
    assert "every user" in str(wrong_with_key(key))
    key.chmod(0o600)
    assert wrong_with_key(key) is None
    key.write_text("short")
    assert "at least 16 bytes" in str(wrong_with_key(key))
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        assert wrong_with_key(key) is None
    finally:
        os.seteuid(0)
