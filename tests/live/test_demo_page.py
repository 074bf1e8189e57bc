"""The page that the demo offers to whoever is at the terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from demo.stage import NAME, TEMPORARY
from tests.namespaces import NETNS

pytestmark = pytest.mark.live

QUICK = [*(sys.executable, "-m", "demo"), *("--only", "nothing", "--no-links", "--no-kill")]
PATIENCE = 60


class Terminal:
    """What a person at the demo's terminal reads and types."""

    def __init__(self, end: int) -> None:
        self._end = end
        self._said = ""

    def until(self, pattern: str) -> re.Match[str]:
        """Read until this is there."""
        while not (found := re.search(pattern, self._said)):
            try:
                self._said += os.read(self._end, 4096).decode()
            except OSError:
                pytest.fail(f"it ended with: {self._said}")
        self._said = self._said[found.end() :]
        return found

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())


@contextmanager
def demo() -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    ours, its = pty.openpty()
    process = subprocess.Popen(QUICK, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    try:
        yield process, Terminal(ours)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)
        os.close(ours)


def left(pid: int) -> list[str]:
    """What there is of a demo with this process."""
    found = [*TEMPORARY.glob(f"{NAME}{pid}*"), *NETNS.glob(f"{NAME}{pid}*")]
    return [path.name for path in found]


def rewrites(address: str) -> int:
    with urllib.request.urlopen(f"{address}api/view/helpers", timeout=20) as answer:
        return sum(row["rewritten"] for row in json.load(answer)["rows"])


def test_whoever_is_at_the_terminal_sees_transfers_in_a_browser_and_nothing_is_left():
    with demo() as (process, terminal):
        terminal.until("in a browser\\? ")
        terminal.type("y\n")
        address = terminal.until(r"Open (http://127.0.0.1:\d+/)")[1]
        terminal.until("Enter ends it")
        assert left(process.pid)
        deadline = time.monotonic() + PATIENCE
        while not rewrites(address):
            assert time.monotonic() < deadline, "no transfer has passed the gateway"
            time.sleep(0.1)
        terminal.type("\n")
        assert process.wait(PATIENCE) == 0
        assert left(process.pid) == []
        with pytest.raises(OSError, match="refused"):
            rewrites(address)


def test_a_demo_with_nobody_at_the_terminal_asks_nothing():
    done = subprocess.run(
        QUICK, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert "browser" not in done.stdout
