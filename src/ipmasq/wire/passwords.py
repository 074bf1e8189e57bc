"""Leaves passwords out of lines that are shown: in events, logs, explanations and replays."""

from __future__ import annotations

import re

_COMMAND = re.compile(rb"(?i)((?:\A|[\r\n])[^a-z\r\n]*(?:PASS|ACCT))[^a-z0-9_\r\n][^\r\n]*")
"""Commands of FTP, IRC and POP3 whose argument is a password. Some servers accept blanks, Telnet's codes and other
characters before and behind the command, so everything that is no letter may be there."""

HIDDEN = rb"\1 ***"


def without_passwords(line: bytes) -> bytes:
    """Return a line, or several, with `***` for each password."""
    return _COMMAND.sub(HIDDEN, line)
