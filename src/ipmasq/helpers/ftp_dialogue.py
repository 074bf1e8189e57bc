"""Which reply of an FTP server answers which command of its client."""

from __future__ import annotations

import re
from collections import Counter, deque

from ipmasq.core.helper import Fields, Plain

PORT, EPRT, PASV, EPSV, EPSV_ALL = b"PORT", b"EPRT", b"PASV", b"EPSV", b"EPSV ALL"
AUTH, LOGIN, RESTART, TRANSFER, HTTP, OTHER = b"AUTH", b"USER", b"REIN", b"RETR", b"GET", b""
ECHOED = b"227"
"""A command that contains the code of a passive reply, which the server could echo."""

PASSIVE = (b"227", b"229")
"""Replies that announce where the server listens."""

# Telnet commands before a line (RFC 1123 4.1.2.12, RFC 854). Servers and clients skip them, so the helper
# does too. A line with Telnet commands anywhere else is no command that the helper knows.
TELNET = rb"(?s:\xff(?:[\xf0-\xf9]|[\xfb-\xfe].|\xfa(?:[^\xff]|\xff\xff)*\xff\xf0))*"

END = rb"\r?\n"
"""Many clients and servers send a bare LF, and most accept it."""

REPLY = re.compile(TELNET + rb"(?P<code>[1-5][0-9][0-9])(?P<mark>[ -]|" + END + rb")")


class Dialogue:
    """Matches replies to commands (RFC 959, 4.2) as far as that is possible.

    Replies come in the order of the commands. But servers omit replies, send superfluous ones, use other
    codes or end a multi-line reply incorrectly, and clients tolerate that. So when a command comes after a
    reply to the command before it, all older commands become *doubtful*: their replies may or may not come.
    After the next such exchange they are forgotten.

    Text that a client could have made the server echo must not be taken for a reply. That is a line of a
    multi-line reply (CERT VU#288905) and, if the server ends its lines with CRLF, any text next to a bare LF,
    which may be part of a file name (attack A-07).
    """

    def __init__(self) -> None:
        self.unanswered: deque[bytes] = deque()
        """Meanings of the commands that have no final reply yet, oldest first."""
        self.pending: Counter[bytes] = Counter()
        """How many commands of each meaning are in `unanswered`, so that a look-up takes constant time."""
        self._doubtful = 0
        """How many of the oldest commands are doubtful, and how many of those mean AUTH."""
        self._doubtful_auths = 0
        self.within = b""
        """The code of the multi-line reply that has begun and not ended."""
        self.is_line = True
        """Whether the client, too, sees the server's latest line as one line."""
        self._replied = False
        """Whether a final reply has come since the latest command."""
        self._says_crlf: bool | None = None
        """Whether the server's first line ended with CRLF; None before that."""
        self._broken = False
        """Whether the server's latest line ended with a bare LF although the server uses CRLF. To the client
        the next line may then be part of it."""
        self._all_lf = False
        """Whether all lines of the multi-line reply so far ended with a bare LF."""
        self._padded = False
        """Whether the latest line of text in it began with its code."""
        self._ended_otherwise = False
        """Whether its latest line ended a reply of another code, which is how some servers end one."""

    def to_state(self) -> Plain:
        """Return it as plain values."""
        return {
            "unanswered": list(self.unanswered),
            "doubtful": self._doubtful,
            "doubtful_auths": self._doubtful_auths,
            "within": self.within,
            "is_line": self.is_line,
            "replied": self._replied,
            "says_crlf": self._says_crlf,
            "broken": self._broken,
            "all_lf": self._all_lf,
            "padded": self._padded,
            "ended_otherwise": self._ended_otherwise,
        }

    @classmethod
    def from_state(cls, state: Fields) -> Dialogue:
        """Return the dialogue of a state. Raises StateError."""
        made = cls()
        asked = state.listed("unanswered")
        made.unanswered.extend(map(asked.blob, range(len(asked))))
        made.pending.update(made.unanswered)
        made._doubtful = state.integer("doubtful", 0, len(asked))
        made._doubtful_auths = state.integer("doubtful_auths", 0, made.pending[AUTH])
        made.within = state.blob("within")
        made.is_line = state.boolean("is_line")
        made._replied = state.boolean("replied")
        made._says_crlf = None if state.is_none("says_crlf") else state.boolean("says_crlf")
        made._broken = state.boolean("broken")
        made._all_lf = state.boolean("all_lf")
        made._padded = state.boolean("padded")
        made._ended_otherwise = state.boolean("ended_otherwise")
        return made

    def command(self, meaning: bytes) -> None:
        """Record a command of the client."""
        if self._ended_otherwise:
            self.within, self._ended_otherwise, self._replied = b"", False, True
        if self._replied and not self.within:
            for _ in range(self._doubtful):
                self._oldest()
            self._doubtful, self._doubtful_auths = len(self.unanswered), self.pending[AUTH]
        self._replied = False
        self.unanswered.append(meaning)
        self.pending[meaning] += 1

    @property
    def is_securing(self) -> bool:
        """Whether an AUTH is pending, so that the rest of the connection may become ciphertext."""
        return self.pending[AUTH] > self._doubtful_auths

    def reply(self, line: bytes) -> bytes | None:
        """Record a line of the server. Return the code of the final reply that it ends, or None."""
        ends = self._line(line)
        if ends is None or ends.startswith(b"1"):  # 1yz: another reply will follow
            return None
        self._replied = True
        return ends

    def _line(self, line: bytes) -> bytes | None:
        """Return the code of the reply that ends with this line, or None."""
        reply, whole = REPLY.match(line), line.endswith(b"\r\n")
        if self._says_crlf is None:
            self._says_crlf = whole
        self.is_line = not self._says_crlf or (whole and not self._broken)
        was_broken, self._broken = self._broken, self._says_crlf and not whole
        if not self.within:
            if reply and reply["mark"] == b"-":
                self.within, self._padded = reply["code"], False
                self._all_lf = not whole and not was_broken
                return None
            return reply["code"] if reply else None
        self._all_lf &= not whole
        if reply and reply["mark"] == b" ":
            if reply["code"] == self.within:
                self.within, self._ended_otherwise = b"", False
                self._broken &= not self._all_lf
                return reply["code"]
            self._ended_otherwise = self._padded
            return None
        self._ended_otherwise = False
        self._padded = line.startswith(self.within + b"-")
        return None  # text, even if it looks like a reply

    def answered(self, code: bytes) -> bytes:
        """Return the meaning of the command that a final reply with this code answers."""
        if code in PASSIVE:
            return self._passive()
        if not self.unanswered or (self.unanswered[0] in (PASV, EPSV) and code < b"4"):
            return OTHER  # a superfluous reply
        if code == b"220" and self.unanswered[0] != RESTART:
            return OTHER  # the greeting answers no command
        return self._oldest()

    def _passive(self) -> bytes:
        """Return the oldest PASV or EPSV. Older commands then have no reply, unless one of them could have
        made the server echo such a line: the line may be the reply to that one."""
        if self.pending[PASV] or self.pending[EPSV]:
            while self.unanswered[0] not in (PASV, EPSV):
                if self._oldest() == ECHOED:
                    return OTHER
            return self._oldest()
        return OTHER

    def _oldest(self) -> bytes:
        asked = self.unanswered.popleft()
        self.pending[asked] -= 1
        self._doubtful = max(0, self._doubtful - 1)
        self._doubtful_auths = min(self._doubtful_auths, self.pending[AUTH])
        return asked
