"""Mistakes and warnings as records, and their text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ipmasq.config.locations import Path
from ipmasq.wire.visible import visible


class ConfigError(Exception):
    """The configuration cannot be used. The message is for the operator."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake or warning. `path` is the configuration file, or the helper file at fault; `line` counts from
    1, None if there is none; `key` is the location in the configuration."""

    path: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        location = self.path if self.line is None else f"{self.path}:{self.line}"
        return ": ".join(part for part in (location, self.key, self.message) if part)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of `check`: a file with `errors` cannot be used; `warnings` are legal but probably wrong."""

    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = field(default=())

    @property
    def is_good(self) -> bool:
        return not self.errors

    def text(self) -> str:
        return "\n".join(map(visible, self.lines()))

    def lines(self) -> list[str]:
        """Return one line per problem, mistakes first, and one that counts them."""
        lines = [_marked("error", problem) for problem in self.errors]
        lines += [_marked("warning", problem) for problem in self.warnings]
        count = f"{_count(self.errors, 'error')}, {_count(self.warnings, 'warning')}"
        return [*lines, count]


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems in the order of the file, without duplicates."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.line or 0, p.key)))


def key_text(path: Path) -> str:
    """Return `("rule", 2, "from")` as people count: `rule 3, from`."""
    text = ""
    for step, before in zip(path, (None, *path), strict=False):
        if isinstance(step, int):
            text += f" {step + 1}"
        elif before is None:
            text = step
        else:
            text += f", {step}" if isinstance(before, int) else f".{step}"
    return text


def _marked(kind: str, problem: Problem) -> str:
    location = problem.path if problem.line is None else f"{problem.path}:{problem.line}"
    return ": ".join(part for part in (location, kind, problem.key, problem.message) if part)


def _count(problems: tuple[Problem, ...], word: str) -> str:
    return f"{len(problems)} {word}{'' if len(problems) == 1 else 's'}"
