"""Text from elsewhere as something that a terminal, a table or a log shows and never obeys."""

from __future__ import annotations

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """One line: whatever has no shape of its own (controls, line ends, direction marks, lone halves of
    a surrogate pair) is written as its escape, such as `\\n`, `\\x1b` or `\\u202e`. What is visible
    already stays as it is, so that doing this twice does no harm."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def is_visible(text: str) -> bool:
    """Whether `visible` leaves it as it is."""
    return text.isprintable()


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
