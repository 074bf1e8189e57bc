"""What is said where no gateway answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ipmasq.control.leftovers import hint
from ipmasq.planes.leftovers import Leftovers
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.changes import UnreachableAdded


@pytest.mark.parametrize("left", [Leftovers(), Leftovers([UnreachableAdded(2, 61001)])])
def test_that_a_gateway_was_killed_is_said_if_something_of_it_is_left(
    monkeypatch: pytest.MonkeyPatch, left: Leftovers, tmp_path: Path
) -> None:
    """What it leaves takes root and a kernel; `tests/live/test_undo.py` has that."""
    record = tmp_path / "record"
    record.touch()
    monkeypatch.setattr("ipmasq.control.leftovers.record_in", lambda: record)
    monkeypatch.setattr("ipmasq.planes.leftovers.find_leftovers", lambda: left)
    assert ("ipmasq undo" in hint()) is bool(left)


@pytest.mark.parametrize("error", [PlaneError("no record"), PermissionError(13, "no")])
def test_a_record_that_cannot_be_read_does_not_replace_what_is_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception, tmp_path: Path
) -> None:
    def refuse() -> Leftovers:
        raise error

    record = tmp_path / "record"
    record.touch()
    monkeypatch.setattr("ipmasq.control.leftovers.record_in", lambda: record)
    monkeypatch.setattr("ipmasq.planes.leftovers.find_leftovers", refuse)
    assert hint() == ""


def test_where_nothing_is_on_record_no_library_is_loaded_to_look(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import ipmasq.control.leftovers as each;"
        f"each.record_in = lambda: Path({str(tmp_path / 'none')!r});"
        "assert each.hint() == ''; assert 'pyroute2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
