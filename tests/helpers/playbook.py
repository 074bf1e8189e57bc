"""Tests of helpers, written like the conversation that they watch.

    talk = Talk(Ftp(), masqueraded=Speaker.CLIENT)
    talk.client("PORT 10,0,0,2,4,1").becomes("PORT 203,0,113,1,238,72").opens("10.0.0.2:1025")
    talk.server("200 Fine.").passes()

`Talk` answers the helper as the engine does, for any of the directional cases, and keeps the door's
contract: every byte arrives alone, bytes that were not awaited are forwarded at once and can no longer be
changed, and what a helper wishes in a line happens after it has returned, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from ipmasq.core.helper import ANYWHERE, TCP, Helper, HelperContext, Speaker
from ipmasq.wire.addresses import Address, Endpoint, to_address

CLIENT, SERVER = Speaker.CLIENT, Speaker.SERVER

INSIDE_CLIENT = Endpoint(to_address("10.0.0.2"), 40000)
INSIDE_SERVER = Endpoint(to_address("10.0.0.9"), 21)
OUTSIDE_CLIENT = Endpoint(to_address("198.51.100.7"), 40000)
OUTSIDE_SERVER = Endpoint(to_address("198.51.100.1"), 21)
PUBLIC = {CLIENT: to_address("203.0.113.1"), SERVER: to_address("203.0.113.2")}
PUBLIC_V6 = {CLIENT: to_address("2001:db8:cafe::1"), SERVER: to_address("2001:db8:cafe::2")}
FIRST_PUBLIC_PORT = 61000


def endpoint(text: str) -> Endpoint:
    """`10.0.0.2:1025` or `[2001:db8::2]:1025`."""
    address, _, port = text.rpartition(":")
    return Endpoint(to_address(address.strip("[]")), int(port))


class Opened(NamedTuple):
    """What `expect` was granted: where the speaker waits, and how the other end sees that place."""

    announced: Endpoint
    public: Endpoint
    protocol: int


@dataclass
class Ends:
    """Who is where, and who is masqueraded. The port counter is the gateway's."""

    client: Endpoint
    server: Endpoint
    masqueraded: frozenset[Speaker]
    next_port: int = FIRST_PUBLIC_PORT

    def real(self, speaker: Speaker) -> Endpoint:
        return self.client if speaker is CLIENT else self.server

    def public(self, speaker: Speaker) -> Address:
        """The address at which the other end sees `speaker`."""
        address = self.real(speaker).address
        if speaker not in self.masqueraded:
            return address
        return (PUBLIC if len(address) == 4 else PUBLIC_V6)[speaker]


class ScriptedDoor(HelperContext):
    """The door for one line: the contract of `ipmasq.core.helper`, without a gateway behind it."""

    def __init__(self, speaker: Speaker, ends: Ends, line: bytes, passed: int) -> None:
        self.speaker = speaker
        self.opened: list[Opened] = []
        self.replacements: list[tuple[int, int, bytes]] = []
        self.refusals: list[str] = []
        self.stopped = self.encrypted = False
        self.forgotten = False
        self._ends, self._line, self._passed = ends, line, passed

    def endpoint(self, speaker: Speaker) -> Endpoint:
        return self._ends.real(speaker)

    def expect(self, announced: Endpoint, protocol: int = TCP) -> Endpoint | None:
        ends, me = self._ends, self._ends.real(self.speaker)
        if announced.address == ANYWHERE:
            announced = Endpoint(me.address, announced.port)
        assert len(announced.address) in (4, 16)
        assert 0 < announced.port <= 65535
        if announced.address not in (me.address, ends.public(self.speaker)):
            return None
        if announced.port < 1024:
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
            raise ValueError(f"{start}:{end} is outside the line")
        if start < self._passed:
            raise ValueError(f"byte {start} has already been forwarded")
        if any(start < e and s < end for s, e, _ in self.replacements):
            raise ValueError(f"{start}:{end} overlaps another replacement")
        self.replacements.append((start, end, text))

    def refuse(self, reason: str) -> None:
        self.refusals.append(reason)

    def stop(self, encrypted: bool = False) -> None:
        self.stopped, self.encrypted = True, encrypted

    def edited(self) -> bytes:
        line = self._line
        for start, end, text in sorted(self.replacements, reverse=True):
            line = line[:start] + text + line[end:]
        return line


@dataclass
class Heard:
    """What became of one line."""

    line: bytes
    after: bytes
    opened: tuple[Opened, ...] = ()
    refusals: tuple[str, ...] = ()
    stopped: bool = False
    held: int = 0
    """Bytes that were held back while the line was incomplete."""

    def becomes(self, text: str | bytes) -> Self:
        assert self.after == wire(text)
        return self

    def unchanged(self) -> Self:
        assert self.after == self.line
        return self

    def opens(self, *announced: str) -> Self:
        assert [o.announced for o in self.opened] == [endpoint(text) for text in announced]
        return self

    def opens_nothing(self) -> Self:
        assert self.opened == ()
        return self

    def passes(self) -> Self:
        """Unmodified, and nothing was opened."""
        return self.unchanged().opens_nothing()

    def never_held(self) -> Self:
        assert self.held == 0
        return self

    def stops(self) -> Self:
        assert self.stopped
        return self

    def refused(self) -> Self:
        assert self.refusals
        return self.passes()


def wire(text: str | bytes) -> bytes:
    """A line as it is said, with its terminator unless it has one. Text is Latin-1: `\\xff` is one byte."""
    line = text if isinstance(text, bytes) else text.encode("latin-1")
    return line if line.endswith(b"\n") else line + b"\r\n"


@dataclass
class _Direction:
    line: bytearray = field(default_factory=bytearray)
    passed: int = 0
    held: int = 0
    unseen: bool = False


class Talk:
    """A control connection with one helper at it."""

    def __init__(
        self,
        helper: Helper,
        masqueraded: Speaker | Iterable[Speaker] = (),
        client: Endpoint | None = None,
        server: Endpoint | None = None,
    ) -> None:
        who = frozenset([masqueraded] if isinstance(masqueraded, Speaker) else masqueraded)
        client = client or (INSIDE_CLIENT if CLIENT in who else OUTSIDE_CLIENT)
        server = server or (INSIDE_SERVER if SERVER in who else OUTSIDE_SERVER)
        self.helper = helper
        self.ends = Ends(client, server, who)
        self.stopped = self.encrypted = False
        self.log: list[Heard] = []
        self._directions = {CLIENT: _Direction(), SERVER: _Direction()}

    def client(self, line: str | bytes) -> Heard:
        """The client says one line (its terminator is added)."""
        return self._say(CLIENT, wire(line))

    def server(self, line: str | bytes) -> Heard:
        return self._say(SERVER, wire(line))

    def datagram(self, speaker: Speaker, data: bytes) -> Heard:
        """One datagram, of a helper for UDP."""
        heard = self._hear(speaker, _Direction(), data)
        self.log.append(heard)
        return heard

    def _say(self, speaker: Speaker, line: bytes) -> Heard:
        heard = [h for at in range(len(line)) for h in self.feed(speaker, line[at : at + 1])]
        assert len(heard) == 1, "not one line"
        return heard[0]

    def feed(self, speaker: Speaker, data: bytes) -> list[Heard]:
        """Any bytes, as one segment. Returns the lines that they complete."""
        said = self._directions[speaker]
        said.line += data
        heard = []
        while (at := said.line.find(self.helper.terminator)) >= 0:
            end = at + len(self.helper.terminator)
            heard.append(self._hear(speaker, said, bytes(said.line[:end])))
            said.line = said.line[end:]
            said.passed, said.held, said.unseen = max(0, said.passed - end), 0, False
        self._hold_or_pass(speaker, said)
        self.log += heard
        return heard

    def _hold_or_pass(self, speaker: Speaker, said: _Direction) -> None:
        said.unseen |= len(said.line) > self.helper.max_line
        looks = said.line and not said.unseen and not self.stopped
        if not looks or not self.helper.may_rewrite(speaker, bytes(said.line)):
            said.passed = len(said.line)
        said.held = max(said.held, len(said.line) - said.passed)

    def _hear(self, speaker: Speaker, said: _Direction, line: bytes) -> Heard:
        if self.stopped or said.unseen or len(line) > self.helper.max_line:
            return Heard(line, line, stopped=self.stopped, held=said.held)
        context = ScriptedDoor(speaker, self.ends, line, said.passed)
        self.helper.on_line(line, context)
        if context.refusals:
            return Heard(line, line, refusals=tuple(context.refusals), held=said.held)
        self.stopped, self.encrypted = context.stopped, context.encrypted
        return Heard(
            line, context.edited(), tuple(context.opened), stopped=context.stopped, held=said.held
        )
