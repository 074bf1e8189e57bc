"""Makes ipmasq a systemd service of this machine, with a second one for its pages, and undoes both. Needs root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ipmasq.main.service import files, paths
from ipmasq.wire.visible import visible

ORIGIN = (
    "# Written by `ipmasq install-service`; changes belong in a drop-in (systemctl edit ipmasq).\n"
)
"""The first line of a unit that this command may replace and remove."""

BOOTED = Path("/run/systemd/system")
"""Exists if systemd runs this machine (sd_booted(3))."""

UNIT = Path("/etc/systemd/system", files.NAME)
WEB = Path("/etc/systemd/system", files.WEB)
"""The unit of the pages for a browser."""
USER = Path("/etc/sysusers.d/ipmasq.conf")
STATE = Path("/run/ipmasq")
PACKAGED = tuple(
    Path(above, files.NAME) for above in ("/lib/systemd/system", "/usr/lib/systemd/system")
)


class ServiceError(Exception):
    """The service cannot be installed or removed; the message says why and what to do."""


def unit(configuration: Path) -> str:
    """Return the unit of this installation. Raises ServiceError if a path has characters that mean something else
    in a unit."""
    for path in (paths.program(), configuration):
        if not re.fullmatch(r"[\w@+:,./-]+", str(path)):
            raise ServiceError(
                f"a unit cannot name {visible(str(path))}: use letters, digits and -._"
            )
    return ORIGIN + files.unit(str(paths.program()), str(configuration))


def install(configuration: Path) -> Iterator[str]:
    """Write the units, make their users, and write a first configuration if there is none. May be repeated.

    Yields what was done, one sentence each. Raises ServiceError before anything was changed.
    """
    _check_host()
    if wrong := paths.unusable(paths.needed()):
        advice = "install ipmasq where every user can read it, for example in /opt/ipmasq"
        raise ServiceError(f"{wrong}; {advice}")
    for made in _writes(configuration):
        if made.write():
            yield f"wrote {made.path}"
    _run("systemd-sysusers", str(USER))
    _run("systemctl", "daemon-reload")


def remove() -> Iterator[str]:
    """End the service and remove all of it but the configuration and the logs. Yields what was done. Raises ServiceError."""
    _check_host()
    for path in (WEB, UNIT):
        if path.exists():
            _run("systemctl", "disable", "--now", path.name)
    for path in (UNIT, WEB, USER):
        if path.exists():
            path.unlink()
            yield f"removed {path}"
    _run("systemctl", "daemon-reload")
    shutil.rmtree(STATE, ignore_errors=True)
    for user in ("ipmasq", "ipmasq-web"):
        if subprocess.run(["userdel", user], capture_output=True, check=False).returncode == 0:
            yield f"removed the user {user}"


@dataclass(frozen=True)
class _File:
    path: Path
    text: str
    is_kept: bool = False
    """Whether a file that is there already stays as it is."""

    def write(self) -> bool:
        """Return whether the file was written."""
        if self.path.exists() and (self.is_kept or self.path.read_text("utf-8") == self.text):
            return False
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.path.write_text(self.text, "utf-8")
        self.path.chmod(0o644)
        return True


def _writes(configuration: Path) -> Iterator[_File]:
    yield _File(configuration, files.configuration(), is_kept=True)
    yield _File(USER, files.user())
    yield _File(UNIT, unit(configuration))
    yield _File(WEB, ORIGIN + files.web_unit(str(paths.program())))


def _check_host() -> None:
    if os.geteuid() != 0:
        raise ServiceError("a service is installed and removed by root")
    if not BOOTED.exists():
        text = "systemd does not run this machine; `ipmasq install-service --print` prints the unit"
        raise ServiceError(text)
    if any(path.exists() for path in PACKAGED):
        text = "a package of this machine has this service already: systemctl enable --now ipmasq"
        raise ServiceError(text)
    for path in (UNIT, WEB):
        if path.exists() and not path.read_text("utf-8").startswith(ORIGIN):
            raise ServiceError(f"{path} was not written by this command; move it away first")


def _run(*command: str) -> None:
    """Raises ServiceError."""
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise ServiceError(f"there is no {command[0]}") from error
    except subprocess.CalledProcessError as error:
        raise ServiceError(f"{' '.join(command)}: {error.stderr.strip()}") from error
