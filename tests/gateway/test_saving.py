"""What the gateway saves, and what it refuses to save (see tests/config/test_saved.py for the file itself)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipmasq.config import load
from ipmasq.core.policy import Forward, PortRange
from ipmasq.gateway.file import File
from tests.control.running import FINGER, IN1

TOML = """
[gateway]
inside = ["10.0.0.0/24"]
outside = "lo"
[[forward]]
name = "ssh"
port = 22
to = "10.0.0.2"
[helper.finger]
file = "finger.py"
"""
WEB = Forward("web", 6, None, PortRange(80, 80), IN1, 80)
FTP = replace(FINGER, name="ftp")
OTHER = replace(FINGER, name="other")


@pytest.fixture
def file(tmp_path: Path) -> File:
    (tmp_path / "finger.py").write_text(helper("finger"))
    (tmp_path / "other.py").write_text(helper("other"))
    path = tmp_path / "gateway.toml"
    path.write_text(TOML)
    return File(path)


def helper(name: str) -> str:
    return (
        "from ipmasq.core.helper import Helper\n"
        f"class It(Helper):\n    name, ports = '{name}', ({len(name)},)\n"
    )


def names(file: File) -> list[str | None]:
    return [table.name for table in load(file.path).config.forward.values()]


def test_a_forward_is_saved_and_forgotten(file: File):
    file.save_forward(WEB)
    assert names(file) == ["ssh", "web"]
    assert file.forget_forward("web")
    assert not file.forget_forward("web")
    assert names(file) == ["ssh"]
    assert not Path(file.saved_path).exists()


def test_a_forward_that_is_saved_twice_is_saved_once_and_one_that_was_written_is_not(file: File):
    file.save_forward(WEB)
    file.save_forward(WEB)
    assert names(file) == ["ssh", "web"]
    with pytest.raises(ValueError, match=r"forward ssh stands in .*gateway\.toml already"):
        file.save_forward(Forward("ssh", 6, None, PortRange(22, 22), IN1, 22))
    with pytest.raises(ValueError, match="cannot be saved"):
        file.save_forward(replace(WEB, inside_port=81))
    assert names(file) == ["ssh", "web"]


def test_what_the_operator_wrote_is_not_forgotten(file: File):
    with pytest.raises(
        ValueError, match=r"forward ssh stands in .*gateway\.toml: take it out there"
    ):
        file.forget_forward("ssh")
    for change in (
        lambda: file.save_helper(FINGER, None, [7979]),
        lambda: file.forget_helper("finger"),
    ):
        with pytest.raises(ValueError, match=r"helper finger stands in .*: change it there"):
            change()
    assert not Path(file.saved_path).exists()


def test_what_the_file_would_contradict_after_a_restart_is_not_saved(file: File):
    """The running gateway may have removed the other one for the time being."""
    with pytest.raises(ValueError, match=r"it cannot be saved: .* overlaps port 22 of forward ssh"):
        file.save_forward(replace(WEB, ports=PortRange(20, 30)))
    assert not Path(file.saved_path).exists()


def test_a_helper_is_saved_and_forgotten(file: File, tmp_path: Path):
    file.save_helper(OTHER, str(tmp_path / "other.py"), [8079])
    assert load(file.path).helpers["other"].ports == {8079}
    file.save_helper(OTHER, str(tmp_path / "other.py"), None)
    assert load(file.path).helpers["other"].ports == {5}
    file.forget_helper("other")
    assert "other" not in load(file.path).helpers


def test_what_is_saved_is_not_executed_again(file: File, tmp_path: Path):
    """The files of other helpers are not either, nor if a forward is saved."""
    other = tmp_path / "other.py"
    for name in ("finger", "other"):
        (tmp_path / f"{name}.py").write_text(counted(name))
    file.read()
    assert executed(tmp_path) == ["finger"]
    use = file.helper(None, str(other), [8079])
    file.save_helper(use, str(other), [8079])
    file.save_forward(WEB)
    file.forget_forward("web")
    assert executed(tmp_path) == ["finger", "other"]
    file.renewed(use)
    file.save_helper(use, str(other), None)
    file.forget_helper("other")
    assert executed(tmp_path) == ["finger", "other", "other"]


def counted(name: str) -> str:
    return (
        "from pathlib import Path\n"
        "with Path(__file__).with_name('executed').open('a') as log:\n"
        f"    log.write('{name} ')\n{helper(name)}"
    )


def executed(directory: Path) -> list[str]:
    return (directory / "executed").read_text().split()


def test_a_helper_that_is_on_by_default_is_switched_off(file: File):
    file.save_helper(FTP, None, [21, 2121])
    assert load(file.path).helpers["ftp"].ports == {21, 2121}
    file.forget_helper("ftp")
    assert "ftp" not in load(file.path).helpers
    file.save_helper(FTP, None, None)
    assert load(file.path).helpers["ftp"].ports == {21}


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path):
    file = File("/proc/self/gateway.toml")
    with pytest.raises(ValueError, match=r"/proc/self/gateway\.saved\.toml cannot be written"):
        file.save_forward(WEB)
