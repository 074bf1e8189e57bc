"""Reads the file into a model, with every mistake and its location. Does not examine the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from ipmasq.config import helpers, messages
from ipmasq.config.locations import Path as Key
from ipmasq.config.locations import line_of, locations
from ipmasq.config.mistakes import contradictions
from ipmasq.config.model import LEFT_OUT, Config, HelperTable
from ipmasq.config.problems import Problem, in_order, key_text
from ipmasq.config.reading import UnreadableError, read_text, read_toml
from ipmasq.config.saved import Saved, path_of
from ipmasq.config.saved import read as read_saved
from ipmasq.core.policy import HelperUse
from ipmasq.wire.visible import visible

ON_BY_DEFAULT = "ftp"
"""RFC 5382 REQ-6: TCP helpers are off by default, except FTP."""

Find: TypeAlias = Callable[[str, HelperTable, Path], HelperUse]
"""Returns the helper of `[helper.NAME]`, whose file is relative to the path. Raises HelperError."""

ELEMENTS = ("rule", "forward", "trigger", "share")


@dataclass(frozen=True, slots=True)
class Loaded:
    """`config` holds what is right; wrong settings are left out. `helpers` are those that are on, by name."""

    path: Path
    config: Config
    helpers: Mapping[str, HelperUse]
    problems: tuple[Problem, ...]
    locations: Mapping[Key, int] = field(default_factory=dict)
    saved: Saved = field(default_factory=lambda: Saved(Path()))
    own_forwards: int = 0
    """The number of forwards in the file itself; the others are saved ones."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The tables as they are written, in both files, without what is wrong."""

    def problem(self, path: Key, message: str) -> Problem:
        """Return a problem at the line of that key, or of the table that should have it."""
        file, lines, path = self._locate(path)
        line = line_of(lines, path)
        if isinstance(path[-1], int) and path not in lines:
            path = path[:-1]  # one value, where several are allowed
        return Problem(str(file), line, visible(key_text(path)), visible(message))

    def _locate(self, path: Key) -> tuple[Path, Mapping[Key, int], Key]:
        """Return the file of that key, its lines, and the key in that file."""
        match path:
            case "forward", int(index), *_ if index >= self.own_forwards and self.saved.forwards:
                inner = ("forward", index - self.own_forwards, *path[2:])
                return self.saved.path, self.saved.locations, inner
            case "helper", name, *_ if (
                name in self.saved.helpers and path[:2] not in self.locations
            ):
                return self.saved.path, self.saved.locations, path
        return self.path, self.locations, path


def load(path: Path | str, saved: Saved | None = None, find: Find = helpers.configured) -> Loaded:
    """Read the file, the saved changes beside it and the helper files that they name. Never raises.

    `saved` is used in place of the saved changes, `find` to get helpers.
    """
    path = Path(path)
    reading = path
    try:
        text = read_text(path)
        data = read_toml(text)
        reading = path_of(path)
        saved = saved or read_saved(path)
    except UnreadableError as error:
        return Loaded(path, Config(), {}, (Problem(str(reading), error.line, "", str(error)),))
    own = len(data["forward"]) if isinstance(data.get("forward"), list) else 0
    strange = [*saved.foreign(), *_join(data, saved, path.name)]
    config, found = _checked(data)
    uses, failed = _helpers(config, path.parent, find)
    mistakes = [*found, *failed, *contradictions(config, uses, {where for where, _ in found})]
    loaded = Loaded(path, config, uses, (), locations(text), saved, own, data)
    problems = in_order([*strange, *(loaded.problem(*each) for each in mistakes)])
    return replace(loaded, problems=problems)


def _join(data: dict[str, Any], saved: Saved, name: str) -> Iterator[Problem]:
    """Merge the saved changes into the file's data; yield what is in both."""
    if saved.forwards and isinstance(data.setdefault("forward", []), list):
        data["forward"] = [*data["forward"], *saved.forwards]
    helpers = data.setdefault("helper", {}) if saved.helpers else None
    if isinstance(helpers, dict):
        for helper in saved.helpers.keys() & helpers.keys():
            text = f"stands in {name} as well; remove it from one of the two files"
            yield saved.problem(("helper", helper), text)
        data["helper"] = {**saved.helpers, **helpers}


def _checked(data: dict[str, Any]) -> tuple[Config, list[tuple[Key, str]]]:
    """Check, leave out what is wrong, and check again, so that one mistake does not hide another."""
    found: list[tuple[Key, str]] = []
    while True:
        try:
            return Config.model_validate(data), found
        except ValidationError as error:
            mistakes = messages.mistakes(error)
        found += mistakes
        for path in {path for path, _ in mistakes}:
            _leave_out(data, path)


def _leave_out(data: dict[str, Any], path: Key) -> None:
    """Remove the bad value, or the whole element if the rest is meaningless without it."""
    if path[0] in ELEMENTS:
        path = path[:2]
    inner: Any = data
    for depth, following in enumerate(path[1:], 1):
        value = inner.get(path[depth - 1]) if isinstance(inner, dict) else inner[path[depth - 1]]
        if not isinstance(value, list if isinstance(following, int) else dict):
            path = path[:depth]  # one value, where several are allowed
            break
        inner = value
    if isinstance(inner, list):
        inner[int(path[-1])] = LEFT_OUT
    else:
        inner.pop(path[-1], None)


def _helpers(
    config: Config, base: Path, find: Find
) -> tuple[dict[str, HelperUse], list[tuple[Key, str]]]:
    """Return the helpers that are on: the configured ones that are not switched off, and FTP."""
    uses: dict[str, HelperUse] = {}
    failed: list[tuple[Key, str]] = []
    for name, table in {ON_BY_DEFAULT: HelperTable(), **config.helper}.items():
        if not table.enabled:
            continue
        try:
            uses[name] = find(name, table, base)
        except helpers.HelperError as error:
            failed.append((("helper", name, *(["file"] if table.file else [])), str(error)))
    return uses, failed
