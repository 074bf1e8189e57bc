"""Breaks up what is said of the host's firewall into lines that a terminal shows whole, and from which commands can
be copied."""

from __future__ import annotations

import re
from textwrap import wrap

WIDTH = 78
"""Characters. A command is one line, however long it is."""

KINDS = re.compile(r"; (add|or delete|delete): ")
"""What precedes commands: of rules to add, and of rules to delete."""

AND = " && "
"""What stands between commands."""


def lines(text: str) -> list[str]:
    """Return sentences first, then each command in a line of its own."""
    what, *rest = KINDS.split(text)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return [
        *sentences(what),
        *(f"  {kind}: {each}" for kind, found in pairs for each in found.split(AND)),
    ]


def sentences(text: str) -> list[str]:
    """Return text in which nothing is a command in lines."""
    return wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def foreign(text: str) -> str:
    """Return text that others have written (names, comments), so that nothing in it is taken for a command."""
    return KINDS.sub(r";\1: ", text)


def is_one_command(text: str) -> bool:
    """Return whether no part of a command, such as a comment in it, would be taken for another one."""
    return AND not in text and not KINDS.search(text)


def with_commands(text: str) -> list[str]:
    """Like `lines` for text with commands about rules. Any other text is one line."""
    return lines(text) if KINDS.search(text) else [text]
