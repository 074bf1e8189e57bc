"""What a page says is written into files, typed, and shown.

A block of the language `console` is a session. A line that begins with a prompt is typed: `root@gw1# ` on a host of the
lab, `# ` on the machine itself. The lines below it are what is shown; none means that nothing is said about that. Another block
whose first line is a comment with a path, `# /etc/ipmasq/gateway.toml`, is that file, on the host that `on HOST` names
behind the path, or on gw1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

GATEWAY = "gw1"

FENCE = re.compile(r"^```(\w*)$")
PROMPT = re.compile(r"^(?:root@(\w+))?# (.*)$")
PATH = re.compile(r"^# (/?[\w./-]+\.\w+)(?: on (\w+))?$")


@dataclass(frozen=True)
class Write:
    """A file. A relative path is on the machine itself."""

    path: str
    host: str | None
    text: str


@dataclass(frozen=True)
class Type:
    """A command. `first` and `last` are the lines of the page (the latter exclusive) with what it shows."""

    host: str | None
    command: str
    shown: tuple[str, ...]
    first: int
    last: int


def steps(text: str) -> Iterator[Write | Type]:
    """Yield what is to be done, in the order of the page."""
    lines = text.splitlines()
    start = language = None
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if not fence:
            continue
        if start is None:
            start, language = number + 1, fence[1]
            continue
        yield from _block(str(language), lines, start, number)
        start = None


def _block(language: str, lines: list[str], start: int, end: int) -> Iterator[Write | Type]:
    if language == "console":
        yield from _session(lines, start, end)
    elif path := PATH.match(lines[start]):
        host = path[2] or (GATEWAY if path[1].startswith("/") else None)
        yield Write(path[1], host, "\n".join(lines[start:end]) + "\n")


def _session(lines: list[str], start: int, end: int) -> Iterator[Type]:
    at = start
    while at < end:
        prompt = PROMPT.match(lines[at])
        if not prompt:
            raise ValueError(f"line {at + 1}: a session begins with a prompt, not {lines[at]!r}")
        typed = [prompt[2]]
        at += 1
        while typed[-1].endswith("\\"):
            typed.append(lines[at])
            at += 1
        first = at
        while at < end and not PROMPT.match(lines[at]):
            at += 1
        yield Type(prompt[1], "\n".join(typed), tuple(lines[first:at]), first, at)


def copied(text: str, others: Iterable[str]) -> dict[Type, list[str]]:
    """Return what other pages show for the commands of this one, whatever stands before these there. Raises KeyError if
    none shows one of them."""
    known = [step for other in others for step in steps(other) if isinstance(step, Type)]
    found = {}
    for step in steps(text):
        if isinstance(step, Type):
            fitting = (each for each in known if _repeats(each.command, step.command))
            if not (match := next(fitting, None)):
                raise KeyError(step.command)
            found[step] = list(match.shown)
    return found


def _repeats(command: str, shorter: str) -> bool:
    return command.removesuffix("&").rstrip().endswith(f" {shorter}")


def with_shown(text: str, shown: dict[Type, list[str]]) -> str:
    """Return the page with other lines below some of its commands."""
    lines = text.splitlines()
    for step in sorted(shown, key=lambda step: step.first, reverse=True):
        lines[step.first : step.last] = shown[step]
    return "\n".join(lines) + "\n"
