"""What is fuzzed, one file each: `one_input(data)` raises if a law was broken.

A target also says `MEASURED`, the modules whose coverage its corpus is judged by, and `LONGEST`, the bytes
of its longest useful input. Only `ipmasq` modules are instrumented.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

NAMES = (
    "engine",
    "packets",
    "reassembly",
    "stream",
    "connection",
    "ftp",
    "helpers",
    "capture",
    "replay",
    "control",
    "config",
)


class Target(Protocol):
    MEASURED: tuple[str, ...]
    LONGEST: int

    def one_input(self, data: bytes) -> None:
        """Raises if a law was broken, or what is tried raised."""


def target(name: str) -> Target:
    """Raises KeyError."""
    if name not in NAMES:
        raise KeyError(name)
    return cast(Target, import_module(f"fuzz.targets.{name}"))
