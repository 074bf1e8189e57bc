"""Directories for files that are needed for a moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ipmasq.continuity import scratch

HOLD = """
import sys
from ipmasq.continuity.scratch import scratch
with scratch() as directory:
    print(directory, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(temporary: Path):
    command = [sys.executable, "-c", HOLD]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    with process:
        assert process.stdout
        held = Path(process.stdout.readline().strip())
        (held / "capture").write_bytes(b"x")
        os.utime(held, (0, 0))
        (temporary / "ipmasq-link.scratch").symlink_to(held)
        other = temporary / "ipmasq-of-a-user"
        other.mkdir()
        os.utime(other, (0, 0))
        scratch.sweep()
        assert (held / "capture").exists(), "its process lives"
        process.send_signal(signal.SIGKILL)
    with scratch.scratch() as young:
        scratch.sweep()
        assert young.exists()
    assert not held.exists()
    assert other.exists()
    assert not young.exists()


def test_nothing_is_removed_where_others_could_have_named_it(temporary: Path):
    held = temporary / "ipmasq-1.scratch"
    held.mkdir()
    os.utime(held, (0, 0))
    temporary.chmod(0o777)
    scratch.sweep()
    assert held.exists()
    temporary.chmod(0o1777)
    scratch.sweep()
    assert not held.exists()
