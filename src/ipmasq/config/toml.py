"""Writes tables as TOML (`tomllib` only reads): what the tables of a configuration can hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ipmasq.config.problems import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def text_of(data: dict[str, Any]) -> str:
    """Return arrays of tables, tables of tables, and tables of plain values, as text. Raises ConfigError for
    others."""
    lines: list[str] = []
    for section, content in data.items():
        if isinstance(content, list):
            for table in content:
                lines += ["", f"[[{section}]]", *_settings(table)]
        elif not all(isinstance(table, dict) for table in content.values()):
            lines += ["", f"[{section}]", *_settings(content)]
        else:
            for name, table in content.items():
                lines += ["", f"[{section}.{_key(name)}]", *_settings(table)]
    return "".join(f"{line}\n" for line in lines)


def _settings(table: Any) -> Iterator[str]:
    if not isinstance(table, dict):
        raise ConfigError(f"{table!r} stands where a table must be")
    for key, value in table.items():
        yield f"{_key(key)} = {_value(value)}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(each)}' for key, each in value.items())} }}"
    raise ConfigError(f"{value!r} cannot be kept in this file")


def _text(value: str) -> str:
    """Return a basic string: JSON's escapes are valid in TOML, and DEL needs one in TOML."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
