"""The record of changes, in a directory that a user with fewer rights may own."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from ipmasq.planes import bpffs
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.changes import RuleAdded, SettingChanged
from ipmasq.planes.tun.journal import Journal, recorded
from ipmasq.planes.tun.steering import RoutingRule

NAMESPACE = os.stat("/proc/self/ns/net").st_ino


class Kernel(IPRoute):
    """Does nothing: what is tested are files."""

    def __init__(self, called: Callable[[], object] = lambda: None) -> None:
        self._called = called

    def rule(self, *arguments: object, **named: object) -> None:  # type: ignore[override]
        self._called()


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file that must not be written."""
    made = tmp_path / "victim"
    made.write_text("as it was")
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    return made


def change() -> RuleAdded:
    return RuleAdded(2, RoutingRule(100, 7))


def test_changes_are_on_record_until_they_are_undone(directory: Path):
    journal = Journal(Kernel(), directory)
    journal.make([change()])
    (record,) = directory.glob("*.json")
    assert json.loads(record.read_text())["changes"] == [json.loads(json.dumps(change().written()))]
    journal.close()
    assert list(directory.iterdir()) == []


def test_what_could_not_be_recorded_or_made_is_made_by_the_next_attempt(directory: Path):
    made: list[bool] = []

    def refuse() -> None:
        made.append(True)
        if len(made) == 2:
            raise OSError(errno.ENOBUFS, "no")

    journal = Journal(Kernel(refuse), directory)
    changes = [change(), RuleAdded(2, RoutingRule(101, 7))]
    draft = directory / f"tun-{NAMESPACE}.new"
    draft.mkdir()
    with pytest.raises(OSError, match=r"tun-\d+\.json"):
        journal.make(changes)
    draft.rmdir()
    assert not made
    assert not journal.made(RuleAdded)
    with pytest.raises(OSError, match="no"):
        journal.make(changes)
    assert journal.made(RuleAdded) == changes[:1]
    journal.make(changes)
    assert journal.made(RuleAdded) == changes
    assert len(made) == 3
    journal.close()


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_is_left_alone(
    directory: Path, victim: Path
):
    (directory / f"tun-{NAMESPACE}.lock").symlink_to(victim)
    with pytest.raises(PlaneError):
        Journal(Kernel(), directory)
    assert victim.read_text() == "as it was"


def test_a_draft_that_is_a_link_is_refused_and_what_it_leads_to_is_left_alone(
    directory: Path, victim: Path
):
    (directory / f"tun-{NAMESPACE}.new").symlink_to(victim)
    journal = Journal(Kernel(), directory)
    with pytest.raises(OSError, match="symbolic links"):
        journal.make([change()])
    assert victim.read_text() == "as it was"
    journal.close()


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 60_000])
def test_a_damaged_record_is_refused(directory: Path, text: str):
    record = directory / "tun-1.json"
    record.write_text(text)
    with pytest.raises(PlaneError, match="is not a record of changes"):
        recorded(record)


def test_a_record_that_names_a_file_elsewhere_is_not_undone(directory: Path, victim: Path):
    journal = Journal(Kernel(), directory)
    journal.make([change()])
    (record,) = directory.glob("*.json")
    written = json.loads(record.read_text())
    written["changes"] = [
        {"change": "SettingChanged", "path": str(victim), "was": "", "value": "1"}
    ]
    journal.close()
    record.write_text(json.dumps(written))
    with pytest.raises(PlaneError, match="is not a record of changes"):
        Journal(Kernel(), directory)
    assert victim.read_text() == "as it was"


@pytest.mark.row("A-37")
@pytest.mark.parametrize("is_first", [False, True])
def test_the_kernel_forwards_no_more_before_a_rule_is_undone(directory: Path, is_first: bool):
    setting, seen = directory.parent / "forwarding", list[str]()
    journal = Journal(Kernel(lambda: seen.append(setting.read_text())), directory)
    both = [SettingChanged(str(setting), "0", "1"), change()]
    setting.write_text("0\n")
    journal.make(both if is_first else both[::-1])
    journal.close()
    assert seen[-1] == "0\n"


def test_changes_that_are_left_are_adopted_by_a_successor_that_can(directory: Path):
    first = Journal(Kernel(), directory)
    first.make([change()])
    first.leave()
    second = Journal(Kernel(), directory, lambda: True)
    assert second.adopted == [change()]
    assert second.made(RuleAdded) == [change()]
    assert second.leftovers == ()
    second.close()
    assert list(directory.iterdir()) == []


def test_changes_that_are_left_are_undone_by_one_that_cannot(directory: Path):
    first = Journal(Kernel(), directory)
    first.make([change()])
    first.leave()
    second = Journal(Kernel(), directory)
    assert second.leftovers == [change()]
    assert second.made(RuleAdded) == []
    second.close()


@pytest.mark.parametrize(
    ("kind", "path"), [("ProgramsPinned", ""), ("BpffsMounted", "/sys/fs/bpf")]
)
def test_a_record_that_names_pins_of_others_is_not_undone(
    directory: Path, victim: Path, kind: str, path: str
):
    journal = Journal(Kernel(), directory)
    journal.make([change()])
    (record,) = directory.glob("*.json")
    written = json.loads(record.read_text())
    written["changes"] = [{"change": kind, "path": path or str(victim.parent)}]
    journal.close()
    record.write_text(json.dumps(written))
    with pytest.raises(PlaneError, match="is not a record of changes"):
        Journal(Kernel(), directory)
    assert victim.read_text() == "as it was"


def test_a_directory_with_the_name_of_pins_is_left_alone_unless_it_is_in_a_bpffs(
    directory: Path, victim: Path
):
    """Nor does a link in it lead anywhere: root may undo what a user with fewer rights has written."""
    journal = Journal(Kernel(), directory)
    journal.make([change()])
    (record,) = directory.glob("*.json")
    written = json.loads(record.read_text())
    own = directory / "ipmasq-1-2"
    own.mkdir()
    (own / "elsewhere").symlink_to(victim.parent)
    written["changes"] = [{"change": "ProgramsPinned", "path": str(own)}]
    journal.close()
    record.write_text(json.dumps(written))
    Journal(Kernel(), directory).close()
    assert victim.read_text() == "as it was"
    assert own.is_dir()
    bpffs.remove_all(own)
    assert not own.exists()
    assert victim.read_text() == "as it was"
