"""Finds the line of each key and value in a TOML file, which `tomllib` does not tell.

`tomllib` has read the text already, so it is valid, and only the beginnings and ends of tokens have to be
found. A path is the keys and list indexes that lead to a value: `("rule", 2, "ports", 0)`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_STRING = r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'"
_BLANK = re.compile(r"[ \t]*")
_BLANKS = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_KEY = re.compile(r'"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'" r"|[A-Za-z0-9_-]+")
_SCALAR = re.compile(rf"(?s:{_STRING})|[^,\]}}#\n]+")


def locations(text: str) -> Mapping[Path, int]:
    """Return the line, from 1, of every value in valid TOML; for a table, that of its first header."""
    return _Scanner(text.replace("\r\n", "\n")).scan()


def line_of(where: Mapping[Path, int], path: Path) -> int | None:
    """Return the line of `path`, or of the nearest enclosing element that is in the file."""
    for length in range(len(path), 0, -1):
        if path[:length] in where:
            return where[path[:length]]
    return None


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted = 0
        self._line = 1
        self._found: dict[Path, int] = {}
        self._elements: dict[Path, int] = {}
        """The number of elements so far in each array of tables."""

    def scan(self) -> Mapping[Path, int]:
        table: Path = ()
        while self._skip(_BLANKS):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
        return self._found

    def _header(self) -> Path:
        line, array = self._here(), self._text.startswith("[[", self._at)
        self._at += 2 if array else 1
        keys = self._keys()
        self._skip(_BLANK)
        self._at += 2 if array else 1
        parent = self._resolve((), keys[:-1], line)
        path = (*parent, keys[-1])
        if array:
            self._found.setdefault(path, line)
            index = self._elements[path] = self._elements.get(path, -1) + 1
            path = (*path, index)
        self._found.setdefault(path, line)
        return path

    def _resolve(self, start: Path, keys: list[str], line: int) -> Path:
        """Follow `keys`; one that names an array of tables means its latest element."""
        path = start
        for key in keys:
            path = (*path, key)
            self._found.setdefault(path, line)
            if path in self._elements:
                path = (*path, self._elements[path])
        return path

    def _pair(self, table: Path) -> None:
        line, keys = self._here(), self._keys()
        path = self._resolve(table, keys, line)
        self._skip(_BLANK)
        self._at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _keys(self) -> list[str]:
        """Read a dotted key."""
        keys = []
        while True:
            self._skip(_BLANK)
            key = self._take(_KEY)
            keys.append(_unquoted(key) if key[0] in "\"'" else key)
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _value(self, path: Path) -> None:
        opening = self._text[self._at]
        if opening not in "[{":
            self._take(_SCALAR)
            return
        self._at += 1
        index = 0
        while self._skip(_BLANKS) and self._text[self._at] not in "]}":
            if opening == "{":
                self._pair(path)
            else:
                element = (*path, index)
                self._found[element] = self._here()
                self._value(element)
                index += 1
        self._at += 1

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Skip a pattern. Return whether more text follows."""
        self._take(pattern)
        return self._at < len(self._text)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"line {self._here()} is not valid TOML")
        self._at = match.end()
        return match[0]


def _unquoted(key: str) -> str:
    return str(tomllib.loads(f"key = {key}")["key"])
