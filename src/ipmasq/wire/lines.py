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
    said = wrap(what, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return [*said, *(f"  {kind}: {each}" for kind, found in pairs for each in found.split(AND))]


def with_commands(text: str) -> list[str]:
    """Like `lines` for text with commands about rules. Any other text is one line."""
    return lines(text) if KINDS.search(text) else [text]
