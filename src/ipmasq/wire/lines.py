"""Breaks up what is said of the host's firewall into lines that a terminal shows whole, and from which commands can
be copied."""

from __future__ import annotations

from textwrap import wrap

WIDTH = 78
"""Characters. A command is one line, however long it is."""

ADD, AND = "; add: ", " && "
"""What precedes the commands, and what stands between them."""


def lines(text: str) -> list[str]:
    """Return sentences first, then each command in a line of its own."""
    what, found, commands = text.partition(ADD)
    said = wrap(what, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return [*said, *(f"  add: {each}" for each in commands.split(AND) if found)]


def with_commands(text: str) -> list[str]:
    """Like `lines` for text with commands to add. Any other text is one line."""
    return lines(text) if ADD in text else [text]
