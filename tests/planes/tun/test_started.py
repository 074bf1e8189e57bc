"""How a gateway was started is known as long as the record of its changes, and believed only of users with enough rights."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ipmasq.planes.tun.journal import Journal
from ipmasq.planes.tun.started import Started, note, noted
from tests.planes.tun.test_journal import Kernel

STARTED = Started("/etc/gateway.toml", ("/run/control.sock", "/run/view.sock"))


def the_file(directory: Path) -> Path:
    (found,) = directory.glob("*.start")
    return found


def test_the_configuration_and_the_sockets_are_known(tmp_path: Path):
    assert noted(tmp_path) is None
    note("/etc/other.toml", [], tmp_path)
    note(STARTED.config, STARTED.sockets, tmp_path)
    assert noted(tmp_path) == STARTED


def test_relative_paths_are_known_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    note("gateway.toml", ["control.sock"], tmp_path)
    monkeypatch.chdir("/")
    sockets = (str(tmp_path / "control.sock"),)
    assert noted(tmp_path) == Started(str(tmp_path / "gateway.toml"), sockets)


def test_a_journal_that_is_closed_takes_it_away_and_one_that_is_left_does_not(tmp_path: Path):
    journal = Journal(Kernel(), tmp_path)
    note(STARTED.config, STARTED.sockets, tmp_path)
    journal.leave()
    assert noted(tmp_path) == STARTED
    Journal(Kernel(), tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_another_namespace_that_got_the_same_number_is_not_meant(tmp_path: Path):
    note(STARTED.config, STARTED.sockets, tmp_path)
    file = the_file(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "namespace": -1}))
    assert noted(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"namespace": 1', "\x00", "[" * 60_000])
def test_a_damaged_file_says_nothing(tmp_path: Path, text: str):
    note(STARTED.config, STARTED.sockets, tmp_path)
    the_file(tmp_path).write_text(text)
    assert noted(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_goes_by_no_configuration_that_another_user_names(tmp_path: Path):
    note(STARTED.config, STARTED.sockets, tmp_path)
    os.chown(the_file(tmp_path), 65534, 65534)
    assert noted(tmp_path) == Started("", STARTED.sockets)


def test_a_symbolic_link_is_neither_followed_nor_written_through(tmp_path: Path):
    note(STARTED.config, STARTED.sockets, tmp_path)
    file, elsewhere = the_file(tmp_path), tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    before = elsewhere.read_text()
    assert noted(tmp_path) is None
    note("/etc/other.toml", [], tmp_path)
    assert elsewhere.read_text() == before
    assert noted(tmp_path) == Started("/etc/other.toml", ())
