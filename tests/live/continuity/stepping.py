"""`ipmasq` with a successor to which something happens at a step of the handover: `stepping.py STEP WHAT ARGUMENT...`.

Everything is the product's own but for what happens: before the step the successor is killed, stops answering, raises an
exception, or sends a signal to its predecessor. With STEP `-` nothing happens.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from ipmasq.control.control import Control
from ipmasq.gateway import upgrade
from ipmasq.gateway.gateway import Gateway
from ipmasq.gateway.handover import Link
from ipmasq.gateway.heir import OPTION, Succession
from ipmasq.main import program
from ipmasq.main.cli import main
from ipmasq.planes.tun.plane import TunPlane

STEPS: dict[str, tuple[type, str, object]] = {
    "prepare": (Succession, "prepare", None),
    "borrow": (TunPlane, "borrow", None),
    "ready": (Link, "say", "ready"),
    "restore": (Gateway, "__init__", None),
    "open": (Gateway, "open", None),
    "plane": (TunPlane, "claim", None),
    "serve": (Control, "open", None),
    "running": (Link, "say", "running"),
    "taken": (Link, "say", "taken"),
}
"""By name: a method, and the first argument of the call in question, if it has several."""

BEFORE_IT_LEAVES = ("prepare", "borrow", "ready")


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


def run() -> None:
    step, what = sys.argv[1:3]
    del sys.argv[1:3]
    if OPTION not in sys.argv:
        usual = program.command
        own = [sys.executable, __file__, step, what]
        program.command = lambda: [*own, *usual()[1:]]  # type: ignore[assignment]
        upgrade.TAKING = 2.0 if what == "silent" else upgrade.TAKING
        upgrade.PATIENCE = 10.0 if what == "silent" else upgrade.PATIENCE
    elif step != "-":
        arrange(step, what)
    main()


if __name__ == "__main__":
    run()
