"""`ipmasq` whose successors meet with something at a step of the handover: `stepping.py FILE ARGUMENT...`.

FILE has the step and what happens before it, as they are when the successor is started: it is killed, stops answering,
raises an exception, or sends a signal to its predecessor. With the step `-` nothing happens. Everything else is the
product's own.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipmasq.gateway import upgrade
from ipmasq.gateway.gateway import Gateway
from ipmasq.gateway.handover import Link
from ipmasq.gateway.heir import OPTION
from ipmasq.main import program
from ipmasq.main.cli import main
from ipmasq.planes.ebpf.programs import Programs
from ipmasq.planes.tun.plane import TunPlane

STEPS: dict[str, tuple[type, str, object]] = {
    "borrow": (TunPlane, "borrow", None),
    "open": (TunPlane, "open", None),
    "attach": (Programs, "start", None),
    "opened": (Link, "say", "opened"),
    "restore": (Gateway, "__init__", None),
    "claim": (TunPlane, "claim", None),
    "running": (Link, "say", "running"),
    "taken": (Link, "say", "taken"),
}
"""By name: a method, and the first argument of the call in question, if it has several."""

SHORT = 3.0
"""Seconds for which one that says nothing is waited for."""


def read(file: str) -> tuple[str, str]:
    step, what = Path(file).read_text().split()
    return step, what


def happen(what: str) -> None:
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "silent":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what == "raising":
        raise RuntimeError("a fault of the new version")
    else:
        os.kill(os.getppid(), getattr(signal, what))


def arrange(step: str, what: str) -> None:
    owner, name, argument = STEPS[step]
    original: Callable[..., Any] = getattr(owner, name)
    is_over = False

    def instead(self: object, *arguments: Any, **named: Any) -> Any:
        nonlocal is_over
        if not is_over and argument in (None, *arguments[:1]):
            is_over = True
            happen(what)
        return original(self, *arguments, **named)

    setattr(owner, name, instead)


def follow(file: str) -> None:
    """Start successors by this file, and be as patient as the test needs it."""
    usual, begin = program.command, upgrade.Upgrade.begin
    patience = upgrade.PATIENCE, upgrade.TAKING

    def begun(self: upgrade.Upgrade) -> None:
        is_silent = read(file)[1] == "silent"
        upgrade.PATIENCE, upgrade.TAKING = (SHORT, SHORT) if is_silent else patience
        begin(self)

    program.command = lambda: [sys.executable, __file__, file, *usual()[1:]]
    upgrade.Upgrade.begin = begun  # type: ignore[method-assign]


def run() -> None:
    file = sys.argv.pop(1)
    follow(file)
    step, what = read(file)
    if OPTION in sys.argv and step != "-":
        arrange(step, what)
    main()


if __name__ == "__main__":
    run()
