"""The file in which the gateway saves changes: `gateway.saved.toml` beside `gateway.toml`, which is read with
it.

It has forwards and helpers in the form of the configuration; the operator's own file is never written. A
setting in both files is a mistake, so that neither hides the other.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipmasq.config.locations import Path as Key
from ipmasq.config.locations import line_of, locations
from ipmasq.config.problems import ConfigError, Problem, key_text
from ipmasq.config.reading import read_text, read_toml
from ipmasq.config.toml import text_of

COMMENT = """\
# Saved by `ipmasq forward add --save` and `ipmasq helper load --save`, and read together with {name}.
# Take out what is no longer wanted with `ipmasq forward del NAME --save`, or edit this file while nothing is
# saved; comments of yours do not stay.
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """The content of the file. `locations` are the lines of its keys, from 1."""

    path: Path
    data: dict[str, Any] = field(default_factory=dict)
    locations: Mapping[Key, int] = field(default_factory=dict)

    @property
    def forwards(self) -> list[Any]:
        found = self.data.get("forward", [])
        return found if isinstance(found, list) else []

    @property
    def helpers(self) -> dict[str, Any]:
        found = self.data.get("helper", {})
        return found if isinstance(found, dict) else {}

    def problem(self, key: Key, message: str) -> Problem:
        return Problem(str(self.path), line_of(self.locations, key), key_text(key), message)

    def foreign(self) -> Iterator[Problem]:
        """Yield what does not belong in this file."""
        for key, value in self.data.items():
            if not isinstance(value, {"forward": list, "helper": dict}.get(key, ())):
                yield self.problem(
                    (key,), "only [[forward]] and [helper.NAME] can stand in this file"
                )


def path_of(config: Path) -> Path:
    return config.with_name(f"{config.stem}.saved{config.suffix}")


def read(config: Path) -> Saved:
    """Read the file; it is empty if it does not exist. Raises UnreadableError."""
    path = path_of(config)
    with suppress(OSError, ValueError):
        if not path.exists():
            return Saved(path)
    text = read_text(path)
    return Saved(path, read_toml(text), locations(text))


def draft(config: Path, change: Callable[[Saved], None]) -> tuple[Saved, str]:
    """Return the content after a change, and its text. Raises ConfigError."""
    before = read(config)
    if wrong := next(before.foreign(), None):
        raise ConfigError(str(wrong))
    after = Saved(before.path, {"forward": before.forwards, "helper": before.helpers})
    change(after)
    data = {key: value for key, value in after.data.items() if value}
    text = f"{COMMENT.format(name=config.name)}{text_of(data)}" if data else ""
    return Saved(before.path, data, locations(text)), text


def write(config: Path, text: str) -> None:
    """Replace the file atomically and durably, or remove it if it would be empty. Raises OSError."""
    path = path_of(config)
    if not text:
        path.unlink(missing_ok=True)
        return
    mode = stat.S_IMODE(config.stat().st_mode) & 0o666
    number, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(number, "w", encoding="utf-8") as file:
            os.fchmod(number, mode)
            file.write(text)
            file.flush()
            os.fsync(number)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _settle(path.parent)


def _settle(directory: Path) -> None:
    """Make the new name durable, so that it survives a power failure."""
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
