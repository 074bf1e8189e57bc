"""Reads files as text and TOML. No file is read further than the longest configuration."""

from __future__ import annotations

import errno
import re
import tomllib
from pathlib import Path
from typing import Any

from ipmasq.config.problems import ConfigError

LONGEST = 1 << 20
"""The most bytes of a configuration, or of a helper's code. A device such as /dev/zero has no end."""

_LOCATION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_CLEARER = {
    "Invalid value": "there is no value that TOML knows; text must stand in quotes",
    "Expected newline or end of document after a statement": "the value should end here; text must stand in quotes",
}


def read_bytes(path: Path) -> bytes:
    """Return the whole content. Raises OSError, also if it is longer than `LONGEST`, and ValueError for an
    invalid path."""
    with path.open("rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise OSError(errno.EFBIG, f"it has more than {LONGEST:,} bytes", str(path))
    return content


class UnreadableError(ConfigError):
    """The file is no configuration. `line` counts from 1, None if there is none."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def read_text(path: Path) -> str:
    try:
        content = read_bytes(path)
    except FileNotFoundError as error:
        raise UnreadableError("there is no such file; `ipmasq setup` writes one") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableError(f"cannot be read: {reason}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableError("is not UTF-8 text", line) from error


def read_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UnreadableError("is nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        location = _LOCATION.search(str(error))
        line = int(location[1]) if location and location[1] else len(text.splitlines())
        message = _LOCATION.sub("", str(error))
        twice = re.fullmatch(r"Cannot declare \((.*)\) twice", message)
        if twice:
            keys = re.findall(r"'([^']*)'", twice[1])
            message = f"the table [{'.'.join(keys)}] is given twice"
        elif message == "Cannot overwrite a value":
            message = f"{_key_at(text, line)} is given twice"
        elif twice := re.fullmatch(r"Duplicate inline table key '(.*)'", message):
            message = f"{twice[1]} is given twice"
        raise UnreadableError(f"not valid TOML: {_CLEARER.get(message, message)}", line) from error
    except ValueError as error:  # int(): thousands of digits
        digits = re.search(r"[\d_]{4000}", text)
        at = text.count("\n", 0, digits.start()) + 1 if digits else None
        raise UnreadableError("has a number with too many digits", at) from error


def _key_at(text: str, line: int) -> str:
    """What is given a value in this line, if it begins there."""
    key, equals, _ = text.splitlines()[line - 1].partition("=")
    return key.strip() if equals else "this"
