"""A conversation with one helper, written in a test like the conversation itself.

`Talk` gives the helper every byte alone, as the slowest sender would send it, and keeps the contract of
`ipmasq.core.helper`: bytes for which `may_rewrite` is false are forwarded at once and can no longer be changed, and
the requests of a line take effect after `on_line` has returned, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from ipmasq.core.framing import Lines, Message, MessageReader
from ipmasq.core.helper import UDP, Helper, Speaker
from ipmasq.testing.context import (
    INSIDE_CLIENT,
    INSIDE_SERVER,
    OUTSIDE_CLIENT,
    OUTSIDE_SERVER,
    Ends,
    Opened,
    ScriptedContext,
    endpoint,
)
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.visible import visible

CLIENT, SERVER = Speaker.CLIENT, Speaker.SERVER


def wire(text: str | bytes) -> bytes:
    r"""Return a line as it is sent, with CR LF unless it ends with LF. Text is Latin-1: `\xff` is one byte."""
    line = text if isinstance(text, bytes) else text.encode("latin-1")
    return line if line.endswith(b"\n") else line + b"\r\n"


@dataclass
class Heard:
    """The result of one line. Each method that checks something returns the same object, or raises AssertionError."""

    line: bytes
    after: bytes
    """The line as the other end receives it."""
    opened: tuple[Opened, ...] = ()
    refusals: tuple[str, ...] = ()
    stopped: bool = False
    held: int = 0
    """The most bytes that were withheld while the line was incomplete."""
    rejected: tuple[Endpoint, ...] = ()
    """Announced endpoints that were not acceptable."""
    terminator: bytes = b"\r\n"
    """What `becomes` adds; nothing for a datagram, or a message of a helper with a framer of its own."""

    def becomes(self, text: str | bytes) -> Self:
        """The other end receives this line. A line's terminator is added unless the text has it; a datagram, and a
        message of a helper with a framer of its own, is compared as it is."""
        wanted = _ended(text, self.terminator)
        return self._check(self.after == wanted, f"becomes {_seen(wanted)}")

    def unchanged(self) -> Self:
        """The other end receives the line as it was sent."""
        return self._check(self.after == self.line, "is unchanged")

    def opens(self, *announced: str) -> Self:
        """Flows are expected to exactly these endpoints of the speaker, in this order."""
        wanted = [endpoint(text) for text in announced]
        found = [each.announced for each in self.opened]
        return self._check(found == wanted, f"opens {_listed(wanted)}")

    def opens_nothing(self) -> Self:
        """No flow is expected because of this line."""
        return self._check(self.opened == (), "opens nothing")

    def passes(self) -> Self:
        """The line is unchanged, and opens nothing."""
        return self.unchanged().opens_nothing()

    def never_held(self) -> Self:
        """All bytes of the line were forwarded as they arrived."""
        return self._check(self.held == 0, "is never withheld")

    def stops(self) -> Self:
        """Inspection ended with this line, or before."""
        return self._check(self.stopped, "ends the inspection")

    def refused(self) -> Self:
        """The helper refused the line, which passes."""
        return self._check(bool(self.refusals), "is refused").passes()

    def _check(self, holds: bool, wanted: str) -> Self:
        if not holds:
            raise AssertionError(f"the line {_seen(self.line)} {self}, but the test says: {wanted}")
        return self

    def __str__(self) -> str:
        """Return what happened to the line, as the end of a sentence."""
        changed = self.after != self.line
        parts = [f"becomes {_seen(self.after)}" if changed else "is unchanged"]
        parts.append(f"opens {_listed(each.announced for each in self.opened)}")
        parts += [f"is refused: {reason}" for reason in self.refusals]
        parts += ["ends the inspection"] if self.stopped else []
        return ", ".join(parts)


def _ended(text: str | bytes, terminator: bytes) -> bytes:
    """Return a line with its end: CR LF also if the helper, as that of FTP, takes LF alone for the end."""
    if terminator.endswith(b"\n"):
        return wire(text)
    line = text if isinstance(text, bytes) else text.encode("latin-1")
    return line if line.endswith(terminator) else line + terminator


def _seen(line: bytes) -> str:
    return f'"{visible(line.decode("latin-1"))}"'


def _listed(ends: Iterable[Endpoint]) -> str:
    return ", ".join(map(str, ends)) or "nothing"


@dataclass
class _Direction:
    """What one end has sent: the message reader of the engine, and the bytes of the incomplete message."""

    reader: MessageReader
    line: bytearray = field(default_factory=bytearray)
    start: int = 0
    """The position of `line` in what that end sent."""
    held: int = 0


class Talk:
    """A control connection (or datagrams between two ends) with one helper."""

    def __init__(
        self,
        helper: Helper,
        masqueraded: Speaker | Iterable[Speaker] = (),
        client: Endpoint | None = None,
        server: Endpoint | None = None,
    ) -> None:
        """`masqueraded`: which ends are: CLIENT, SERVER, both as (CLIENT, SERVER), or none. A masqueraded end has an
        inside address unless the test names its endpoint."""
        who = frozenset([masqueraded] if isinstance(masqueraded, Speaker) else masqueraded)
        client = client or (INSIDE_CLIENT if CLIENT in who else OUTSIDE_CLIENT)
        server = server or _server(helper, INSIDE_SERVER if SERVER in who else OUTSIDE_SERVER)
        self.helper = helper
        self.ends = Ends(client, server, who)
        self.stopped = self.encrypted = False
        self.log: list[Heard] = []
        """All lines so far, with their results."""
        framer = helper.framer()
        lines = isinstance(framer, Lines) and helper.protocol != UDP
        self._end = helper.terminator if lines else b""
        self._directions = {who: _Direction(MessageReader(framer)) for who in Speaker}

    def client(self, line: str | bytes) -> Heard:
        """The client sends one line, whose terminator is added unless it is there. A datagram, and a message of a
        helper with a framer of its own, is sent as it is."""
        return self._say(CLIENT, line)

    def server(self, line: str | bytes) -> Heard:
        """The server sends one line. See `client`."""
        return self._say(SERVER, line)

    def datagram(self, speaker: Speaker, data: bytes) -> Heard:
        """Send one datagram. Return its result."""
        heard = self._hear(speaker, Message(data, 0, 0, len(data) <= self.helper.max_line), data, 0)
        self.log.append(heard)
        return heard

    def feed(self, speaker: Speaker, data: bytes) -> list[Heard]:
        """Send any bytes as one segment. Return the results of the lines, or messages, that end in it."""
        said = self._directions[speaker]
        said.line += data
        said.reader.feed(data)
        heard = []
        while message := self._next(said):
            heard.append(self._complete(speaker, said, message))
        self._hold_or_pass(speaker, said)
        self.log += heard
        return heard

    def _say(self, speaker: Speaker, line: str | bytes) -> Heard:
        data = line if isinstance(line, bytes) else line.encode("latin-1")
        if self.helper.protocol == UDP:
            return self.datagram(speaker, data)
        sent = _ended(data, self._end)
        heard = [h for at in range(len(sent)) for h in self.feed(speaker, sent[at : at + 1])]
        if len(heard) != 1:
            raise AssertionError(f"{_seen(sent)} is {len(heard)} messages, not one: use feed")
        return heard[0]

    def _next(self, said: _Direction) -> Message | None:
        try:
            return said.reader.next()
        except ValueError:  # from the framer: no message of the protocol begins like this
            self.stopped = True
            return None

    def _complete(self, speaker: Speaker, said: _Direction, message: Message) -> Heard:
        end = message.position + len(message.text) - said.start
        whole = bytes(said.line[:end])
        heard = self._hear(speaker, message, whole, said.held)
        del said.line[:end]
        said.start += end
        said.held = 0
        return heard

    def _hold_or_pass(self, speaker: Speaker, said: _Direction) -> None:
        partial = said.reader.partial
        looks = partial and not self.stopped
        if not looks or not self.helper.may_rewrite(speaker, partial or b""):
            said.reader.pass_on()
        held = len(partial or b"") - said.reader.passed
        said.held = max(said.held, held if looks else 0)

    def _hear(self, speaker: Speaker, message: Message, line: bytes, held: int) -> Heard:
        end = self._end
        if self.stopped or not message.whole:
            return Heard(line, line, stopped=self.stopped, held=held, terminator=end)
        context = ScriptedContext(speaker, self.ends, line, message.passed)
        self.helper.on_line(line, context)
        rejected = tuple(context.rejected)
        if context.refusals:
            refusals = tuple(context.refusals)
            return Heard(line, line, (), refusals, held=held, rejected=rejected, terminator=end)
        self.stopped, self.encrypted = context.stopped, context.encrypted
        opened, after = tuple(context.opened), context.edited()
        return Heard(line, after, opened, (), context.stopped, held, rejected, end)


def _server(helper: Helper, usual: Endpoint) -> Endpoint:
    return Endpoint(usual.address, helper.ports[0]) if helper.ports else usual
