"""`ipmasq doctor`, run by the gateway with its rights, for clients that lack them.

It is a process of its own, since it reads the whole host and waits for tools: no packet waits for it. There is one at a
time, and its result serves everybody who asks within the next seconds, so that who asks often costs nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import Any

from ipmasq.control.protocol import Kind, RequestError, Row
from ipmasq.gateway.loop import Loop

FRESH = 15.0
"""Seconds for which a result is given to others as well."""

PATIENCE = 45.0
"""Seconds that it may take, which is half a second of work behind everything else on the machine; clients wait for a row
somewhat longer."""

LOOK = 0.05
"""Seconds between two looks whether it has ended."""

LARGEST = 1 << 20
"""Bytes of its answer that are read."""

NICE = 10
"""What its share of the processor is reduced by (setpriority(2))."""

ENDED = (0, 1)
"""Its exit codes if it has examined the host: nothing is wrong, or something is."""


class Examination:
    def __init__(self, loop: Loop, command: Sequence[str]) -> None:
        """`command` prints findings as a list in JSON (`ipmasq doctor --json`). Empty: there is none."""
        self._loop = loop
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._answer = -1
        self._changed = -inf
        """When it began, or ended if it does not run."""
        self.firewall: Sequence[object] = ()
        """What the gateway had found in the firewall when it began."""
        self._found: list[Any] = []
        self._trouble = "this gateway examines nothing for others; run ipmasq doctor on its host"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def want(self, firewall: Sequence[object] = ()) -> None:
        """Begin, unless one runs or has just ended. `firewall`: what the gateway has found in the firewall; a result
        from before that is not given any more."""
        now = self._loop.clock()
        is_fresh = now - self._changed < FRESH and firewall == self.firewall
        if not self._command or self.is_running or is_fresh:
            return
        self._changed, self.firewall = now, firewall
        self._answer = os.memfd_create("ipmasq-doctor")
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=self._answer,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            os.close(self._answer)
            self._trouble = f"cannot run {self._command[0]}: {error.strerror}"
            return
        with suppress(OSError):  # the service's unit forbids it
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)
        self._loop.later(LOOK, self._look)

    def result(self, epoch: float) -> Row:
        """Return what was found. `epoch` is what to add to the gateway's clock to get seconds since 1970. Raises
        RequestError."""
        if self._trouble:
            raise RequestError(Kind.REFUSED, self._trouble)
        return {
            "examined": round(self._changed + epoch, 3),
            "findings": [each for each in self._found if "subject" in each],
            "left_out": [each["left_out"] for each in self._found if "left_out" in each],
        }

    def close(self) -> None:
        """End it, if it runs. May be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._end("the gateway ends")

    def _look(self) -> None:
        process, now = self._process, self._loop.clock()
        if process is None:
            return
        code = process.poll()
        if code is not None:
            self._end("" if code in ENDED else f"the examination failed, with exit code {code}")
        elif now - self._changed > PATIENCE:
            process.kill()
            process.wait()
            self._end(f"the examination did not end within {PATIENCE:g} s")
        else:
            self._loop.later(LOOK, self._look)

    def _end(self, trouble: str) -> None:
        said = os.pread(self._answer, LARGEST, 0)
        os.close(self._answer)
        self._process, self._trouble, self._changed = None, trouble, self._loop.clock()
        if not trouble:
            try:
                self._found = [each for each in json.loads(said) if isinstance(each, dict)]
            except (ValueError, TypeError):
                self._trouble = "the examination gave no list of findings"
