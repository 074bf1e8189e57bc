"""The context that a helper is given in a test: it answers as the engine does, without a gateway behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ipmasq.core.helper import ANYWHERE, TCP, HelperContext, Speaker
from ipmasq.wire.addresses import Address, Endpoint, to_address

INSIDE_CLIENT = Endpoint(to_address("10.0.0.2"), 40000)
INSIDE_SERVER = Endpoint(to_address("10.0.0.9"), 21)
OUTSIDE_CLIENT = Endpoint(to_address("198.51.100.7"), 40000)
OUTSIDE_SERVER = Endpoint(to_address("198.51.100.1"), 21)
"""The ends of a conversation unless a test names others. A server's port is the helper's first one."""

PUBLIC = {Speaker.CLIENT: to_address("203.0.113.1"), Speaker.SERVER: to_address("203.0.113.2")}
PUBLIC_V6 = {
    Speaker.CLIENT: to_address("2001:db8:cafe::1"),
    Speaker.SERVER: to_address("2001:db8:cafe::2"),
}
"""The public address by which the other end knows a masqueraded end."""

FIRST_PUBLIC_PORT = 61000
"""The port of the first expected flow of a masqueraded end; each further one has the next."""

FIRST_ACCEPTABLE_PORT = 1024


def endpoint(text: str) -> Endpoint:
    """Return the endpoint that is written as `10.0.0.2:1025` or `[2001:db8::2]:1025`. Raises ValueError."""
    address, _, port = text.rpartition(":")
    return Endpoint(to_address(address.strip("[]")), int(port))


class Opened(NamedTuple):
    """A flow that is expected: where the speaker accepts it, and the same endpoint as the other end sees it."""

    announced: Endpoint
    public: Endpoint
    protocol: int


@dataclass
class Ends:
    """The two ends of a conversation, and which of them are masqueraded."""

    client: Endpoint
    server: Endpoint
    masqueraded: frozenset[Speaker]
    next_port: int = FIRST_PUBLIC_PORT
    """The public port of the next expected flow."""

    def real(self, speaker: Speaker) -> Endpoint:
        return self.client if speaker is Speaker.CLIENT else self.server

    def public(self, speaker: Speaker) -> Address:
        """Return the address at which the other end sees `speaker`."""
        address = self.real(speaker).address
        if speaker not in self.masqueraded:
            return address
        return (PUBLIC if len(address) == 4 else PUBLIC_V6)[speaker]


class ScriptedContext(HelperContext):
    """The context for one line, with the contract of `ipmasq.core.helper`. It records all requests."""

    def __init__(self, speaker: Speaker, ends: Ends, line: bytes, passed: int = 0) -> None:
        """`passed`: how many of the line's first bytes were forwarded already and cannot be replaced."""
        self.speaker = speaker
        self.opened: list[Opened] = []
        self.replacements: list[tuple[int, int, bytes]] = []
        self.refusals: list[str] = []
        self.rejected: list[Endpoint] = []
        """Announced endpoints for which `expect` returned None."""
        self.stopped = self.encrypted = False
        self.forgotten = False
        self._ends, self._line, self._passed = ends, line, passed

    def endpoint(self, speaker: Speaker) -> Endpoint:
        return self._ends.real(speaker)

    def expect(self, announced: Endpoint, protocol: int = TCP) -> Endpoint | None:
        """As in the gateway. Raises AssertionError for what is no endpoint, which a helper must not announce."""
        ends, me = self._ends, self._ends.real(self.speaker)
        if announced.address == ANYWHERE:
            announced = Endpoint(me.address, announced.port)
        if len(announced.address) not in (4, 16) or not 0 < announced.port <= 65535:
            raise AssertionError(f"expect was called with {tuple(announced)}, which is no endpoint")
        own = announced.address in (me.address, ends.public(self.speaker))
        if not own or announced.port < FIRST_ACCEPTABLE_PORT:
            self.rejected.append(announced)
            return None
        public = announced
        if self.speaker in ends.masqueraded:
            public = Endpoint(ends.public(self.speaker), ends.next_port)
            ends.next_port += 1
        self.opened.append(Opened(announced, public, protocol))
        return public

    def forget(self) -> None:
        self.forgotten = True

    def replace(self, start: int, end: int, text: bytes) -> None:
        if not 0 <= start < end <= len(self._line):
            raise ValueError(f"{start}:{end} is outside the line of {len(self._line)} bytes")
        if start < self._passed:
            raise ValueError(f"byte {start} has already been forwarded: see may_rewrite")
        if any(start < e and s < end for s, e, _ in self.replacements):
            raise ValueError(f"{start}:{end} overlaps another replacement")
        self.replacements.append((start, end, text))

    def refuse(self, reason: str) -> None:
        self.refusals.append(reason)

    def stop(self, encrypted: bool = False) -> None:
        self.stopped, self.encrypted = True, encrypted

    def edited(self) -> bytes:
        """Return the line with all replacements."""
        line = self._line
        for start, end, text in sorted(self.replacements, reverse=True):
            line = line[:start] + text + line[end:]
        return line
