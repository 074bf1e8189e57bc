"""Turns pydantic's errors into messages for the operator."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from ipmasq.config.locations import Path
from ipmasq.config.model import Config, table_at
from ipmasq.config.values import shown

HAS_URL = "is a URL, which has no place here"


def mistakes(error: ValidationError) -> list[tuple[Path, str]]:
    """Return the location of each error, and one sentence."""
    return [(each["loc"], sentence(each)) for each in error.errors(include_url=False)]


def settings(table: type[BaseModel]) -> list[str]:
    """Return the names of a table's settings in the file."""
    return [field.alias or name for name, field in table.model_fields.items()]


def sentence(error: Any) -> str:
    """Return one of pydantic's error records (an element of `ValidationError.errors()`) in plain words, without any part
    of a URL."""
    said = _sentence(error)
    return HAS_URL if _tells_of_url(said, error["input"]) else said


def _tells_of_url(said: str, value: object) -> bool:
    """Return whether a sentence has parts of a value that is a URL, or of one in a list. A value that was cut at its
    colons does not look like a URL any more."""
    if isinstance(value, (list, tuple)):
        return any(_tells_of_url(said, each) for each in value)
    if not isinstance(value, str) or "://" not in value:
        return False
    parts = re.split(r"[^\w.~%!$*+-]+", value.partition("://")[2])
    return any(part in said for part in parts if part)


def _sentence(error: Any) -> str:
    path, value, context = error["loc"], error["input"], error.get("ctx", {})
    match error["type"]:
        case "value_error":
            return str(context["error"])
        case "missing":
            return "is missing, and has no default"
        case "extra_forbidden":
            return _unknown(path)
        case "literal_error":
            return f"{shown(value)} is none of {context['expected'].replace(chr(39), chr(34))}"
        case "bool_type":
            return f"{shown(value)} is neither true nor false"
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            return f"{shown(value)} is not a whole number"
        case "float_type" | "float_parsing" | "finite_number":
            return f"{shown(value)} is not a number"
        case "string_type":
            return f"{shown(value)} is not text; write it in quotes"
        case "tuple_type" | "list_type":
            return f"{shown(value)} is not a list"
        case "greater_than_equal":
            return f"{_plain(value)} is too small; at least {_plain(context['ge'])}"
        case "greater_than":
            return f"{_plain(value)} is too small; more than {_plain(context['gt'])}"
        case "less_than_equal":
            return f"{_plain(value)} is too large; at most {_plain(context['le'])}"
        case "model_type" | "dict_type" if isinstance(value, list):
            return f"a list stands where a table must be; write [{path[-1]}], in single brackets"
        case "model_type" | "dict_type":
            return f"{shown(value)} stands where a table must be"
    return str(error["msg"])


def meant(key: str, known: Sequence[str]) -> str | None:
    """Return the known setting of which this key is a misspelling; None if there is none."""
    close = get_close_matches(key.lower().replace("-", "_"), known, n=1)
    return close[0] if close else None


def _plain(value: object) -> str:
    """Return the value like `shown`, and a whole number without a fraction."""
    whole = isinstance(value, float) and value.is_integer()
    return shown(int(value) if whole and isinstance(value, float) else value)


def _unknown(path: Path) -> str:
    key, table = str(path[-1]), table_at(path[:-1])
    if table is None:
        return "there is no such setting"
    known = settings(table)
    if close := meant(key, known):
        return f'there is no such setting; did you mean "{close}"?'
    elsewhere = _tables_with(key)
    if elsewhere:
        return f"there is no such setting here; did you mean it to be in {' or '.join(elsewhere)}?"
    return f"there is no such setting; here can stand {_listed(known)}"


def _tables_with(key: str) -> list[str]:
    double = {"rule", "forward", "trigger", "share"}
    found = []
    for section in settings(Config):
        header = f"[[{section}]]" if section in double else f"[{section}]"
        path = (section,) if table_at((section,)) else (section, 0)
        if (table := table_at(path)) and key in settings(table):
            found.append("[helper.NAME]" if section == "helper" else header)
    return found


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
