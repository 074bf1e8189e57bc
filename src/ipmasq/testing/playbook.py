r"""Playbooks: conversations as text files, with what shall happen to each line::

    # An active transfer of a masqueraded client.
    masqueraded: client
    client: PORT 10,0,0,2,4,1
        becomes: PORT 203,0,113,1,238,72
        opens: 10.0.0.2:1025
    server: 200 Fine.
        passes

`masqueraded` (client, server, both, nobody) begins a conversation; several may follow each other. A line of an end is
Latin-1 text with the escapes ``\r \n \t \0 \\`` and ``\xNN``. Below it, indented, stand what shall happen: `becomes: LINE`,
`opens: ENDPOINT, ...`, `passes`, `refused`, `stops`. Nothing is checked of a line that has none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ipmasq.core.helper import Helper
from ipmasq.testing.context import endpoint
from ipmasq.testing.talk import CLIENT, SERVER, Heard, Talk

SIDES = {"client": (CLIENT,), "server": (SERVER,), "both": (CLIENT, SERVER), "nobody": ()}
SPEAKERS = {"client": CLIENT, "server": SERVER}
ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


class PlaybookError(ValueError):
    """A playbook has a mistake. The message begins with the line."""


@dataclass
class Line:
    """What an end says, and what shall happen to it. `number` is the line of the file."""

    number: int
    speaker: str
    text: str
    checks: list[tuple[str, str]] = field(default_factory=list)
    """Names of the checks, each with its argument."""


@dataclass
class Playbook:
    """A conversation: which end is masqueraded (a key of `SIDES`), and its lines."""

    masqueraded: str
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """What happened to a line. `fault` says why that is not as the playbook says; it is empty if it is."""

    line: Line
    heard: Heard | None
    """None if the helper raised `error`."""
    fault: str = ""
    error: Exception | None = None


def _becomes(heard: Heard, text: str) -> None:
    heard.becomes(text)


def _opens(heard: Heard, text: str) -> None:
    heard.opens(*(each.strip() for each in text.split(",")))


CHECKS: dict[str, Callable[[Heard, str], object]] = {
    "becomes": _becomes,
    "opens": _opens,
    "passes": lambda heard, _: heard.passes(),
    "refused": lambda heard, _: heard.refused(),
    "stops": lambda heard, _: heard.stops(),
}
WITH_ARGUMENT = ("becomes", "opens")


def read(text: str) -> list[Playbook]:
    """Return the conversations of a playbook. Raises PlaybookError at the first mistake."""
    made: list[Playbook] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        word, colon, rest = line.strip().partition(":")
        rest = rest.removeprefix(" ")
        if line[0].isspace():
            _check(number, word, rest if colon else None, made)
        elif word == "masqueraded" and rest.strip() in SIDES:
            made.append(Playbook(rest.strip()))
        elif word in SPEAKERS and colon:
            made = made or [Playbook("client")]
            made[-1].lines.append(Line(number, word, _unescaped(number, rest)))
        else:
            wanted = '"client: ...", "server: ..." or "masqueraded: client|server|both|nobody"'
            raise PlaybookError(f"line {number}: write {wanted}")
    return made


def _check(number: int, word: str, rest: str | None, made: list[Playbook]) -> None:
    """Add a check to the latest line."""
    if not made or not made[-1].lines:
        raise PlaybookError(f"line {number}: there is no line above to which this could apply")
    if word not in CHECKS or (word in WITH_ARGUMENT) is (rest is None):
        wanted = ", ".join(f"{name}: ..." if name in WITH_ARGUMENT else name for name in CHECKS)
        raise PlaybookError(f"line {number}: write one of {wanted}")
    if word == "opens":
        _check_endpoints(number, rest or "")
    made[-1].lines[-1].checks.append((word, _unescaped(number, rest or "")))


def _check_endpoints(number: int, text: str) -> None:
    for each in text.split(","):
        try:
            endpoint(each.strip())
        except ValueError:
            raise PlaybookError(f"line {number}: {each.strip()} is not ADDRESS:PORT") from None


def _unescaped(number: int, text: str) -> str:
    def one(found: re.Match[str]) -> str:
        if found[1].startswith("x"):
            return chr(int(found[1][1:], 16))
        return ESCAPES[found[1]]

    if re.search(r"(?<!\\)(?:\\\\)*\\(?!x[0-9A-Fa-f]{2}|[rnt0\\])", text):
        raise PlaybookError(rf"line {number}: write a backslash as \\")
    if any(ord(each) > 0xFF for each in text):
        raise PlaybookError(rf"line {number}: write each byte beyond ASCII as \xNN")
    return re.sub(r"\\(x[0-9A-Fa-f]{2}|[rnt0\\])", one, text)


def perform(playbook: Playbook, make: Callable[[], Helper]) -> Iterator[Result]:
    """Let both ends say their lines to one new helper, and yield what happened to each. It ends when the helper
    raises an exception, which in the gateway would end its work on the connection's line."""
    talk = Talk(make(), SIDES[playbook.masqueraded])
    for line in playbook.lines:
        try:
            heard = (talk.client if line.speaker == "client" else talk.server)(line.text)
        except Exception as error:  # whatever the helper's code raises
            yield Result(line, None, f"{type(error).__name__}: {error}", error)
            return
        yield Result(line, heard, _fault(line, heard))


def _fault(line: Line, heard: Heard) -> str:
    for name, argument in line.checks:
        try:
            CHECKS[name](heard, argument)
        except AssertionError as error:
            return str(error)
    return ""
