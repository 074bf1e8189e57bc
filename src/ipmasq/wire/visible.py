"""Escapes foreign text, so that a terminal, a table or a log displays it and never interprets it."""

from __future__ import annotations

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Return the text on one line. Characters without a glyph (control characters, line ends, direction
    marks, lone surrogates) become their escape, such as `\\n`, `\\x1b` or `\\u202e`. Visible characters stay
    as they are, so escaping twice does no harm."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def is_visible(text: str) -> bool:
    """Return whether `visible` leaves the text unchanged."""
    return text.isprintable()


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
