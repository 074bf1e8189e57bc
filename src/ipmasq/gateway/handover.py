"""The messages by which a gateway hands over to its successor (docs/adr/0035), over a pair of sockets.

    successor: ready FACTS     it has read its configuration and loaded its programs
    predecessor: open PROGRAMS it forwards, but changes nothing of the host any more; whether it has a fast path
    successor: opened          it has made its sockets, opened the devices and attached its programs
    predecessor: yours SLOTS   it has written the state, and handles no packet any more
    successor: running         it has read the state, and waits
    predecessor: go            the successor is the gateway
    successor: taken           it handles packets
    successor: failed REASON   in place of any of its messages; then it ends. Several reasons have a line each

A predecessor that reads anything else, or nothing in time, ends the successor and goes on: until `taken` it has handled no
packet. A successor that reads the end in place of an answer ends as if it was killed.
"""

from __future__ import annotations

import json
import socket
from typing import Any, NamedTuple

READY, OPEN, OPENED, YOURS = "ready", "open", "opened", "yours"
RUNNING, GO, TAKEN, FAILED = "running", "go", "taken", "failed"

SOCKETS = "sockets"
"""The paths, among the facts, where a successor makes sockets from `open` on. If it fails, they are removed."""

LONGEST = 1 << 16
"""Bytes of a message."""

LONGEST_REASON = 5000
"""Characters of the reason of `failed`, each of which may take twelve bytes of a message."""


class Message(NamedTuple):
    word: str
    value: Any = None


ENDED = Message("")
"""What is received when the other end is gone, or says nonsense."""


class Link:
    """One end. Messages are not split."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Link, Link]:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def inherited(cls, descriptor: int) -> Link:
        """Raises OSError if that is no socket."""
        end = socket.socket(fileno=descriptor)
        end.set_inheritable(False)
        return cls(end)

    def fileno(self) -> int:
        return self._end.fileno()

    def say(self, word: str, value: Any = None) -> None:
        """Raises OSError if the other end is gone."""
        self._end.send(json.dumps([word, value]).encode()[:LONGEST], socket.MSG_NOSIGNAL)

    def hear(self, patience: float | None = None) -> Message:
        """Wait for a message. Raises TimeoutError if none comes within `patience` seconds."""
        self._end.settimeout(patience)
        try:
            word, value = json.loads(self._end.recv(LONGEST))
        except (TimeoutError, BlockingIOError):
            raise TimeoutError from None
        except (OSError, ValueError, TypeError):
            return ENDED
        return Message(str(word), value)

    def close(self) -> None:
        self._end.close()
