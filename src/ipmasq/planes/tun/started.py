"""How the gateway of a network namespace was started: a file beside the record of its changes, for commands that find it
killed, or do not know its socket."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ipmasq.planes.tun.journal import cookie
from ipmasq.planes.tun.record import DIRECTORY, STARTED, record_in

MOST = 1 << 16
"""Bytes that are read at most."""


@dataclass(frozen=True, slots=True)
class Started:
    config: str
    """The path of its configuration. Empty if another user than root or this one has written it: whoever goes by it may have
    more rights."""
    sockets: tuple[str, ...]
    """The paths of its sockets, the control socket first."""


def note(config: str, sockets: Iterable[str], directory: Path = DIRECTORY) -> None:
    """Write how this gateway was started. Commands do without if it cannot be written. To be called while it has the lock of
    its record; that is closed with this file."""
    with suppress(OSError):
        path = record_in(directory).with_suffix(STARTED)
        fact = asdict(Started(os.path.abspath(config), tuple(map(os.path.abspath, sockets))))
        path.unlink(missing_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            json.dump({"namespace": cookie(), **fact}, file)


def noted(directory: Path = DIRECTORY) -> Started | None:
    """Return how the gateway that runs here was started, or the one that was killed or left everything to a successor. None
    if nothing is known."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        path = record_in(directory).with_suffix(STARTED)
        # The directory may belong to a user with fewer rights: no symbolic link, and nothing that would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            fact = json.loads(file.read(MOST))
            is_trusted = os.fstat(descriptor).st_uid in (0, os.geteuid())
        if fact["namespace"] == cookie():  # numbers of namespaces are reused, cookies never
            return Started(str(fact["config"]) * is_trusted, tuple(map(str, fact["sockets"])))
    return None
