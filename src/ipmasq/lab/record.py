"""A record on disk of what a lab has made or is about to make, so that it can be removed even after a crash."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ipmasq.lab.plan import Host, Interface, Plan, check_prefix

DIRECTORY = Path("/run/ipmasq-lab")
"""Not below /run/ipmasq, which belongs to the user of the service: root runs what is configured here."""


@dataclass(frozen=True)
class Record:
    prefix: str
    created: float
    """Seconds since the epoch."""
    plan: Plan


def directory(prefix: str) -> Path:
    """Return the directory of a lab's files: the record, and those of gateways started in it."""
    return DIRECTORY / prefix


def claim(plan: Plan) -> None:
    """Write the record before anything is made. Raises FileExistsError if the lab has one already."""
    folder = directory(plan.prefix)
    folder.mkdir(parents=True, exist_ok=True)
    with _path(plan.prefix).open("x", encoding="utf-8") as file:
        json.dump({"created": time.time(), "plan": asdict(plan)}, file, indent=1)


class DamagedError(Exception):
    """A record cannot be read; the message names its file."""


def load(prefix: str) -> Record | None:
    """Return None if there is none. Raises LayoutError if there cannot be one, and DamagedError."""
    check_prefix(prefix)
    path = _path(prefix)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        hosts = tuple(
            Host(**{**host, "interfaces": tuple(Interface(**i) for i in host["interfaces"])})
            for host in raw["plan"]["hosts"]
        )
        return Record(prefix, raw["created"], Plan(prefix, hosts))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            f"{path} is damaged; remove it, and the namespaces of the lab"
            f" ({prefix}-...) with `ip netns delete`"
        ) from error


def known() -> list[str]:
    """Return the prefixes of all labs that have a record."""
    return sorted(path.parent.name for path in DIRECTORY.glob("*/lab.json"))


def forget(prefix: str) -> None:
    """Remove the lab's files. The record goes last, so that an interrupted removal can be repeated."""
    folder = directory(prefix)
    for path in sorted(folder.glob("*")):
        if path != _path(prefix):
            path.unlink(missing_ok=True)
    _path(prefix).unlink(missing_ok=True)
    if folder.is_dir():
        folder.rmdir()


def _path(prefix: str) -> Path:
    return directory(prefix) / "lab.json"
