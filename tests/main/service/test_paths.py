from __future__ import annotations

from pathlib import Path

from ipmasq.main.service.paths import needed, unusable


def test_a_file_that_everybody_can_read_is_usable():
    assert unusable([Path("/usr/bin/env")]) is None


def test_a_file_below_a_directory_that_is_hidden_from_services_is_not(tmp_path: Path):
    file = tmp_path / "ipmasq"
    file.touch()
    said = unusable([file], hidden=[tmp_path])
    assert said == f"{file} is below {tmp_path}, which is hidden from services"


def test_a_link_to_a_hidden_file_is_not_usable_either(tmp_path: Path):
    hidden = tmp_path / "home"
    hidden.mkdir()
    (hidden / "ipmasq").touch()
    link = tmp_path / "link"
    link.symlink_to(hidden / "ipmasq")
    assert str(hidden) in str(unusable([link], hidden=[hidden]))


def test_a_directory_that_is_closed_to_others_is_named(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "ipmasq").touch()
    tmp_path.chmod(0o755)
    assert "is closed to others" in str(unusable([closed / "ipmasq"], hidden=[]))


def test_a_file_that_is_missing_is_named(tmp_path: Path):
    assert unusable([tmp_path / "none"]) == f"there is no {tmp_path}/none"


def test_the_program_its_interpreter_and_the_package_are_needed():
    assert [path.name for path in needed()][::2] == ["ipmasq", "__init__.py"]
    assert all(path.exists() for path in needed())
