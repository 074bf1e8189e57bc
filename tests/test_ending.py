"""However a run of the tests is ended, the tests remove what they made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
TEST = """
import pathlib, pytest, time
MADE = pathlib.Path(__file__).with_name("made")

@pytest.fixture
def made():
    MADE.touch()
    yield
    MADE.unlink()

def test_something_long(made):
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_fixtures_are_torn_down_when_a_signal_ends_the_run(tmp_path: Path, number: signal.Signals):
    (tmp_path / "test_long.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-p", "conftest"]
    command += ["--rootdir", str(TOP), "-c", str(TOP / "pyproject.toml"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(TOP / "tests")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while "begun" not in (line := process.stdout.readline()):
            assert line, "it has ended"
        assert (tmp_path / "made").exists()
        process.send_signal(number)
        said = process.stdout.read()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, said
    assert not (tmp_path / "made").exists()
