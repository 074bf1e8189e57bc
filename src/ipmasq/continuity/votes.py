"""Questions between the members of a group, for the case that the store is silent: do you consent that I have the
lease? Whoever consents agrees not to acquire it meanwhile (`Fence.consent`).

A question and its answer are one authenticated datagram each. A question has a number that never decreases, so
that an old one cannot be used to keep a member from acquiring the lease; the answer repeats 16 random bytes.
"""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeAlias

from ipmasq.continuity.authentic import Entry, RefusedError, Seal

Endpoint: TypeAlias = tuple[str, int]

PATIENCE = 0.15
"""Seconds to wait for all answers."""

LARGEST = 1024
AT_ONCE = 16
"""Questions that are answered before packets have their turn."""

ASK, YES, NO = b"ask", b"yes", b"no "
NONCE = 16
"""Random bytes of a question; the name of the share follows them."""


class Votes:
    """Raises OSError if the endpoint cannot be used."""

    def __init__(
        self, seal: Seal, member: str, listen: Endpoint, consent: Callable[[str], bool]
    ) -> None:
        self.peers: Mapping[str, Endpoint] = {}
        """Where the other members listen. Without one of them there is no consent."""
        self._seal, self._member, self._consent = seal, member, consent
        self._latest: dict[str, int] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind(listen)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def endpoint(self) -> Endpoint:
        host, port = self._socket.getsockname()
        return host, port

    def close(self) -> None:
        self._socket.close()

    def answer(self) -> None:
        """Answer the questions that have come."""
        with suppress(BlockingIOError):
            for _ in range(AT_ONCE):
                data, sender = self._socket.recvfrom(LARGEST)
                with suppress(RefusedError):
                    self._answer(self._seal.read(data), sender)

    def _answer(self, question: Entry, sender: Endpoint) -> None:
        if question.number <= self._latest.get(question.member, 0):
            return
        if question.member not in self.peers or question.payload[:3] in (YES, NO):
            return
        self._latest[question.member] = question.number
        share = question.payload[len(ASK) + NONCE :].decode(errors="replace")
        says = YES if self._consent(share) else NO
        answer = Entry(self._member, question.generation, question.number, says + question.payload)
        with suppress(OSError):
            self._socket.sendto(self._seal.write(answer), sender)

    def ask(self, generation: int, share: str = "") -> bool:
        """Return whether all other members consent to a lease of a share, and there is at least one. Waits for
        their answers; may be called from any thread."""
        peers = dict(self.peers)
        nonce = ASK + secrets.token_bytes(NONCE) + share.encode()
        question = self._seal.write(Entry(self._member, generation, time.time_ns(), nonce))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as asking:
            for peer in peers.values():
                with suppress(OSError):
                    asking.sendto(question, peer)
            agreed = self._collect(asking, set(peers), generation, YES + nonce)
        return bool(peers) and agreed == set(peers)

    def _collect(
        self, asking: socket.socket, peers: set[str], generation: int, wanted: bytes
    ) -> set[str]:
        """Return who has given the wanted answer in time."""
        agreed: set[str] = set()
        end = time.monotonic() + PATIENCE
        while agreed != peers and (left := end - time.monotonic()) > 0:
            if not select.select([asking], [], [], left)[0]:
                break
            with suppress(OSError, RefusedError):
                answer = self._seal.read(asking.recv(LARGEST))
                if (answer.generation, answer.payload) == (generation, wanted):
                    agreed.add(answer.member)
        return agreed & peers
