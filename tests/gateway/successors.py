"""Successors of a few lines, which speak the protocol as they like, and a gateway that lends nothing real."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from ipmasq.gateway.health import Reloads
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.upgrade import Upgrade

FACTS = {"the file of the state": "/run/state.db", "[state] grace": "30.0"}

SPEAKING = """
import os, sys, time
from ipmasq.gateway.handover import Link
link = Link.inherited(int(sys.argv[-1].split(",")[0]))
say, hear, facts = link.say, link.hear, {}
"""

READY = f"say('ready', {FACTS!r})\nassert hear().word == 'open'\n"
OPENED = READY + "say('opened')\nassert hear() == ('yours', [3, 5])\n"
RUNNING = OPENED + "say('running')\nassert hear().word == 'go'\n"
TAKES_OVER = RUNNING + "say('taken')\ntime.sleep(60)\n"
DIES = "os._exit(3)\n"


class Lent:
    """Notes what is lent and taken back."""

    facts = FACTS
    hindrance = ""
    has_programs = False
    changes = (3, 5)

    def __init__(self) -> None:
        self.descriptors = os.memfd_create("lock"), -1
        self.done: list[str] = []
        self.reason = ""
        self.is_stuck = False
        self.unready = 2

    def get_ready(self) -> None:
        self.done.append("ready")

    def is_ready(self) -> bool:
        self.unready -= 1
        return self.unready < 0

    def share(self) -> None:
        self.done.append("shared")

    def write(self) -> str:
        self.done.append("written")
        return self.reason

    def take_back(self) -> None:
        if self.is_stuck:
            raise OSError("no more")
        self.done.append("taken back")


class Upgrading:
    def __init__(self, code: str, command: Sequence[str] | None = None) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.loop, self.lent, self.reloads = Loop(), Lent(), Reloads()
        command = command or [sys.executable, "-c", SPEAKING + code]
        lending: Any = self.lent
        self.upgrade = Upgrade(self.loop, lending, self.reloads, command)
        self.told: list[str] = []
        self.upgrade.left = lambda: self.told.append("left")
        self.upgrade.taken_back = lambda: self.told.append("taken back")
        self.upgrade.succeeded = lambda: self.told.append("succeeded")

    def run(self, until: Callable[[], object] = lambda: False, patience: float = 60.0) -> None:
        """Begin, and let the loop run until the successor has taken over, or has failed."""
        self.upgrade.begin()
        self.go_on(until, patience)

    def go_on(self, until: Callable[[], object] = lambda: False, patience: float = 60.0) -> None:
        deadline = time.monotonic() + patience

        def look() -> None:
            assert time.monotonic() < deadline
            if until() or not self.upgrade.is_under_way:
                self.loop.stop()
            else:
                self.loop.later(0.01, look)

        self.loop.later(0, look)
        self.loop.run()

    def close(self) -> None:
        process = self.upgrade._process
        if process is not None:
            process.kill()
            process.wait()
        os.close(self.lent.descriptors[0])
        # A predecessor that has left blocks its signals; processes of later tests would inherit that.
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
