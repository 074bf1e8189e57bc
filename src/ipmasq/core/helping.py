"""Helpers at work: which helper watches which flow, what it is shown, and what becomes of its wishes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from ipmasq.core import events
from ipmasq.core.expectations import Expectation, Refusal
from ipmasq.core.flow import End, Flow
from ipmasq.core.helper import TCP, HelperContext, Speaker
from ipmasq.core.lines import Line
from ipmasq.core.policy import HelperUse, OnFailure
from ipmasq.core.stream import Replacement
from ipmasq.core.tcp_rewriter import NOTHING, Heard
from ipmasq.core.timers import Bucket
from ipmasq.core.views import HelperVerdict, HelperView
from ipmasq.wire.addresses import Endpoint


class Registered:
    """A helper in use, and its counters."""

    def __init__(self, use: HelperUse) -> None:
        self.use = use
        self.bound = 0
        self.watching = 0
        self.inspected = 0
        self.rewritten = 0
        self.expected = 0
        self.met = 0
        self.kept_alive = 0
        self.failed = 0
        self.refused: dict[str, int] = {}

    def view(self) -> HelperView:
        use = self.use
        return HelperView(
            name=use.name,
            protocol=use.protocol,
            ports=tuple(sorted(use.ports)),
            orthogonal=use.orthogonal,
            on_failure=use.on_failure.name.lower(),
            bound=self.bound,
            watching=self.watching,
            inspected=self.inspected,
            rewritten=self.rewritten,
            expected=self.expected,
            met=self.met,
            kept_alive=self.kept_alive,
            failed=self.failed,
            refused=dict(self.refused),
        )


EXPECTATION_COST = 10
REFUSAL_COST = 3
"""What it costs to expect a flow, and to refuse a line, in the time that an ordinary line takes."""


class AlreadyForwardedError(ValueError):
    """Bytes cannot be replaced that have left: their line was not finished in time, or not awaited."""


class Binding(NamedTuple):
    helper: Registered
    port: int
    by: str


SOURCE = "source port"


def binding(
    helpers: dict[str, Registered], protocol: int, client: End, server: End
) -> Binding | None:
    """The helper that inspects this flow, if there is one: it is bound by the port that the server really
    listens on, failing that by the public one by which it was reached.

    The client's port binds nothing, because anybody can choose it, unless the operator says so for
    inside clients (`HelperUse.source_ports`). See docs/adr/0013.
    """
    for found in _candidates(helpers, protocol, client, server):
        if _serves(found.helper.use, client, server):
            return found
    return None


def verdicts(
    helpers: dict[str, Registered], protocol: int, client: End, server: End
) -> Iterator[HelperVerdict]:
    """For each helper whether it is the one that inspects this flow (see `binding`), and why or why not."""
    winner: str | None = None
    for helper, port, by in _candidates(helpers, protocol, client, server):
        name = helper.use.name
        if winner is not None:
            if winner != name:
                yield HelperVerdict(name, False, f"{winner} was bound before it")
        elif not _serves(helper.use, client, server):
            reason = (
                "it does not say that it is orthogonal, and the client is not the masqueraded side"
            )
            yield HelperVerdict(name, False, reason)
        else:
            winner = name
            yield HelperVerdict(name, True, f"by the {by}, {port}")
    for helper in helpers.values():
        if helper.use.protocol != protocol:
            yield HelperVerdict(helper.use.name, False, "it is for another protocol")
        elif not any(port in _ports(helper.use, by) for port, by in _binding_ports(client, server)):
            listed = ", ".join(map(str, sorted(helper.use.ports))) or "none"
            yield HelperVerdict(helper.use.name, False, f"its ports are {listed}")


def _candidates(
    helpers: dict[str, Registered], protocol: int, client: End, server: End
) -> Iterator[Binding]:
    for port, by in _binding_ports(client, server):
        for helper in helpers.values():
            if helper.use.protocol == protocol and port in _ports(helper.use, by):
                yield Binding(helper, port, by)


def _binding_ports(client: End, server: End) -> list[tuple[int, str]]:
    """The ports that may bind a helper, and what they are, the strongest first."""
    ports = [(server.real.port, "destination port")]
    if server.translated.port != server.real.port:
        ports.append((server.translated.port, "public port"))
    if client.is_masqueraded:
        ports.append((client.real.port, SOURCE))
    return ports


def _serves(use: HelperUse, client: End, server: End) -> bool:
    """Whether it can work on the side that is masqueraded."""
    return use.orthogonal or (client.is_masqueraded and not server.is_masqueraded)


def _ports(use: HelperUse, by: str) -> frozenset[int]:
    return use.source_ports if by == SOURCE else use.ports


class Desk(Protocol):
    """What attachments need of the engine."""

    now: float

    def emit(self, event: events.Event) -> None: ...

    def expect(
        self, attachment: Attachment, speaker: Speaker, announced: Endpoint, protocol: int
    ) -> Expectation:
        """Raises Refusal."""

    def confirm(self, expectations: list[Expectation], attachment: Attachment) -> None: ...

    def withdraw(self, expectations: list[Expectation]) -> None: ...

    def forget(self, flow: Flow) -> None: ...


class Attachment:
    """One helper instance at its flow: the listener of the flow's `TcpRewriter`."""

    def __init__(self, desk: Desk, flow: Flow, registered: Registered) -> None:
        self.flow = flow
        self.registered = registered
        self.blocked = False
        """The flow's packets are dropped from now on."""
        self.watching = True
        self.work = 0
        """What its lines have cost so far, in the time that an ordinary one takes."""
        self.due: Bucket[Any] | None = None
        """When its flow's watch has something to send of its own accord."""
        self._desk = desk
        self._helper = registered.use.make()

    @property
    def terminator(self) -> bytes:
        return self._helper.terminator

    @property
    def longest(self) -> int:
        return self._helper.max_line

    def renew(self) -> None:
        """Go on with newer code and the same state. Raises whatever the newer code raises."""
        helper = self.registered.use.make()
        helper.resume(dict(vars(self._helper)))
        self._helper = helper

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        try:
            return self._helper.may_rewrite(speaker, partial)
        except Exception as error:
            self._fail(speaker, partial, error)
            return False

    def hear(self, speaker: Speaker, line: Line) -> Heard:
        self.registered.inspected += 1
        self.work += 1
        transaction = Transaction(self._desk, self, speaker, line)
        try:
            self._helper.on_line(line.text, transaction)
        except AlreadyForwardedError as error:
            transaction.rollback()
            self.refuse(speaker, line.text, str(error), by_helper=False)
            return NOTHING
        except Exception as error:
            transaction.rollback()
            self._fail(speaker, line.text, error)
            return NOTHING
        return transaction.commit()

    def _fail(self, speaker: Speaker, line: bytes, error: Exception) -> None:
        self.registered.failed += 1
        self._block()
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        self._desk.emit(
            events.HelperFailed(
                self._desk.now, self.flow.id, self.registered.use.name, speaker, line, text
            )
        )

    def refuse(self, speaker: Speaker, line: bytes, reason: str, by_helper: bool) -> None:
        """`by_helper`: the helper itself said that this is an attack."""
        self.work += REFUSAL_COST
        refused = self.registered.refused
        refused[reason] = refused.get(reason, 0) + 1
        if by_helper:
            self._block()
        self._desk.emit(
            events.Refused(
                self._desk.now, self.flow.id, self.registered.use.name, speaker, reason, line
            )
        )

    def _block(self) -> None:
        self.blocked |= self.registered.use.on_failure is OnFailure.DROP


class Transaction(HelperContext):
    """The door for one line. Nothing happens before `grant`, but ports are held from `expect` on."""

    def __init__(self, desk: Desk, attachment: Attachment, speaker: Speaker, line: Line) -> None:
        self.speaker = speaker
        self._desk = desk
        self._attachment = attachment
        self._line = line
        self._replacements: list[Replacement] = []
        self._expectations: list[Expectation] = []
        self._refusal: str | None = None
        self._stop = False
        self._forget = False

    def endpoint(self, speaker: Speaker) -> Endpoint:
        return self._attachment.flow.end(speaker).real

    def expect(self, announced: Endpoint, protocol: int = TCP) -> Endpoint | None:
        try:
            made = self._desk.expect(self._attachment, self.speaker, announced, protocol)
        except Refusal as refusal:
            self._attachment.refuse(self.speaker, self._line.text, str(refusal), by_helper=False)
            return None
        self._attachment.work += EXPECTATION_COST
        self._expectations.append(made)
        return made.public

    def forget(self) -> None:
        self._forget = True

    def replace(self, start: int, end: int, text: bytes) -> None:
        if not 0 <= start < end <= len(self._line.text):
            raise ValueError(f"{start}:{end} is outside the line of {len(self._line.text)} bytes")
        if start < self._line.passed:
            raise AlreadyForwardedError("part of the line had already been forwarded")
        if any(start < r.end and r.start < end for r in self._replacements):
            raise ValueError(f"{start}:{end} overlaps another replacement")
        self._replacements.append(Replacement(start, end, bytes(text)))

    def refuse(self, reason: str) -> None:
        self._refusal = reason

    def stop(self) -> None:
        self._stop = True

    def rollback(self) -> None:
        self._desk.withdraw(self._expectations)

    def commit(self) -> Heard:
        """Make it so."""
        if self._refusal is not None:
            self.rollback()
            self._attachment.refuse(self.speaker, self._line.text, self._refusal, by_helper=True)
            return NOTHING
        if self._forget:
            self._desk.forget(self._attachment.flow)
        if self._expectations:
            self._desk.confirm(self._expectations, self._attachment)
        if not self._replacements:
            return Heard((), self._stop) if self._stop else NOTHING
        replacements = tuple(sorted(r for r in self._replacements if self._changes(r)))
        if replacements:
            self._tell_rewritten(replacements)
        return Heard(replacements, self._stop)

    def _changes(self, replacement: Replacement) -> bool:
        return self._line.text[replacement.start : replacement.end] != replacement.text

    def _tell_rewritten(self, replacements: tuple[Replacement, ...]) -> None:
        self._attachment.registered.rewritten += 1
        after, at = b"", 0
        for each in replacements:
            after += self._line.text[at : each.start] + each.text
            at = each.end
        after += self._line.text[at:]
        self._desk.emit(
            events.Rewritten(
                self._desk.now,
                self._attachment.flow.id,
                self._attachment.registered.use.name,
                self.speaker,
                self._line.position,
                self._line.text,
                after,
            )
        )
