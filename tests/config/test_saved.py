"""What the gateway saves beside the configuration, and how it is read together with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipmasq.config import check, compile, load, saved
from ipmasq.config.problems import ConfigError
from ipmasq.config.tables import table_of
from ipmasq.core.policy import Forward, PortRange
from ipmasq.wire.addresses import to_address
from tests.config.marked import GATEWAY, HERE

INSIDE, PUBLIC = to_address("10.0.0.2"), to_address("203.0.113.1")


WEB = Forward("web", 6, None, PortRange(80, 80), INSIDE, 8080)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.toml"
    file.write_text(GATEWAY)
    file.chmod(0o640)
    return file


def save(config: Path, *forwards: Forward) -> None:
    def change(kept: saved.Saved) -> None:
        kept.forwards.extend(map(table_of, forwards))

    saved.write(config, saved.draft(config, change)[1])


def test_what_is_saved_is_part_of_the_configuration(config: Path):
    media = Forward("media", 17, PUBLIC, PortRange(5000, 5010), INSIDE, 6000)
    save(config, WEB, media)
    assert compile(load(config), HERE).forwards == (WEB, media)
    assert check(config, HERE).errors == ()
    file = config.with_name("gateway.saved.toml")
    assert file.read_text().startswith("# Saved by `ipmasq forward add --save`")
    assert "read together with gateway.toml" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o640, "as the configuration's"
    assert sorted(os.listdir(config.parent)) == ["gateway.saved.toml", "gateway.toml"]


def test_what_was_saved_before_stays(config: Path):
    config.with_name("gateway.saved.toml").write_text(
        '[[forward]]\nport = 25\nto = "10.0.0.3"\n[helper.ftp]\nports = [21, "2121"]\nenabled = true\n'
    )
    save(config, WEB)
    loaded = load(config)
    assert [forward.ports.low for forward in compile(loaded, HERE).forwards] == [25, 80]
    assert loaded.helpers["ftp"].ports == {21, 2121}


def test_a_file_with_nothing_left_in_it_is_removed(config: Path):
    save(config, WEB)
    saved.write(config, saved.draft(config, lambda kept: kept.forwards.clear())[1])
    assert os.listdir(config.parent) == ["gateway.toml"]
    saved.write(config, "")


@pytest.mark.parametrize(
    ("own", "beside", "said"),
    [
        ("", "[[forward]]\nport = 0\n", "2: forward 1, port: there is no port 0"),
        ("", "[[forward\n", "1: not valid TOML"),
        (
            "",
            "\n[timeouts]\nudp = 5\n",
            "2: timeouts: only [[forward]] and [helper.NAME] can stand",
        ),
        ("", "forward = 7\n", "1: forward: only [[forward]] and [helper.NAME] can stand"),
        ("", "\n[helper.ftp]\nportz = 1\n", "3: helper.ftp.portz: there is no such setting"),
        (
            "[helper.ftp]\nports = 2121\n",
            "\n[helper.ftp]\n",
            "2: helper.ftp: stands in gateway.toml as well",
        ),
        (
            '[[forward]]\nname = "web"\nport = 80\nto = "10.0.0.3"\n',
            '\n[[forward]]\nport = 80\nto = "10.0.0.2"\n',
            "3: forward 1, port: overlaps port 80 of forward web",
        ),
    ],
)
def test_a_mistake_in_what_was_saved_names_that_file(
    config: Path, own: str, beside: str, said: str
):
    config.write_text(GATEWAY + own)
    file = config.with_name("gateway.saved.toml")
    file.write_text(beside)
    errors = [str(each) for each in check(config, HERE).errors]
    assert any(each.startswith(f"{file}:{said}") for each in errors), errors


def test_a_mistake_in_the_file_itself_is_still_found_there(config: Path):
    save(config, WEB)
    config.write_text(f'{GATEWAY}[[forward]]\nport = 81\nto = "10.0.0.300"\n')
    (error,) = check(config, HERE).errors
    assert str(error).startswith(f"{config}:6: forward 1, to: ")


def test_what_cannot_be_written_leaves_what_was_saved(
    config: Path, monkeypatch: pytest.MonkeyPatch
):
    save(config, WEB)
    before = config.with_name("gateway.saved.toml").read_text()

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(config, Forward("other", 6, None, PortRange(81, 81), INSIDE, 81))
    assert config.with_name("gateway.saved.toml").read_text() == before
    assert sorted(os.listdir(config.parent)) == ["gateway.saved.toml", "gateway.toml"]


def test_nothing_is_added_to_a_file_that_has_a_mistake(config: Path):
    config.with_name("gateway.saved.toml").write_text("[limits]\n")
    with pytest.raises(ConfigError, match="only"):
        save(config, WEB)
