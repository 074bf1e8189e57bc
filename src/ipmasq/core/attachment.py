"""A helper attached to a flow: what it is given, and how its requests are carried out, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ipmasq.core import events
from ipmasq.core.event_queue import said
from ipmasq.core.expectations import Expectation, Refusal
from ipmasq.core.flow import Flow
from ipmasq.core.framing import Framer, Message
from ipmasq.core.helper import ANYWHERE, TCP, Helper, HelperContext
from ipmasq.core.listener import UNCHANGED, Handled
from ipmasq.core.plain import Fields, Plain
from ipmasq.core.policy import OnFailure
from ipmasq.core.registered import Registered
from ipmasq.core.speaker import Speaker
from ipmasq.core.stream import Replacement
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.passwords import has_password

EXPECTATION_COST = 10
REFUSAL_COST = 3
"""The cost of expecting a flow, and of refusing a line, in units of an ordinary line."""

MOST_REASONS, OTHER_REASONS = 64, "for another reason"
"""The most reasons that are counted apart, since a helper may put what was said into its own."""


class AlreadyForwardedError(ValueError):
    """Bytes cannot be replaced that were forwarded: their line was not finished in time, or `may_rewrite` was
    False."""


class HelperServices(Protocol):
    """What attachments need of the engine."""

    @property
    def now(self) -> float:
        """The time of the present packet, on the engine's clock."""

    def emit(self, event: events.Event) -> None: ...

    def expect(
        self, attachment: Attachment, speaker: Speaker, announced: Endpoint, protocol: int
    ) -> Expectation:
        """Reserve what an announcement needs. Raises Refusal."""

    def confirm(self, expectations: Sequence[Expectation], attachment: Attachment) -> None: ...

    def withdraw(self, expectations: Sequence[Expectation]) -> None: ...

    def forget(self, flow: Flow) -> None: ...


class Attachment:
    """A helper instance attached to a flow. It is the listener of the flow's `TcpRewriter`."""

    def __init__(
        self,
        services: HelperServices,
        flow: Flow,
        registered: Registered,
        helper: Helper | None = None,
    ) -> None:
        """`helper`: the instance; by default a new one. Raises whatever the helper's constructor raises."""
        self.flow = flow
        self.registered = registered
        self.blocked = False
        """Whether the flow's packets are dropped, after a failure or refusal."""
        self.work = 0
        """The cost of its messages so far, in units of an ordinary line."""
        self._services = services
        self._helper = helper or registered.use.make()

    def to_state(self) -> Plain:
        """Return it as plain values: the helper's state with its version."""
        version = self._helper.state_version if self.registered.is_loaded else None
        return {
            "helper": self.registered.use.name,
            "is_loaded": self.registered.is_loaded,
            "blocked": self.blocked,
            "version": version,
            "state": None if version is None else self._helper.to_state(),
        }

    @classmethod
    def from_state(
        cls, services: HelperServices, flow: Flow, helpers: dict[str, Registered], state: Fields
    ) -> Attachment:
        """Return the attachment of a state, with one of these helpers. One that cannot take over its state is
        replaced by a stand-in; see `lacks_helper`. Raises StateError."""
        name, is_loaded = state.text("helper"), state.boolean("is_loaded")
        if is_loaded and name not in helpers:
            raise state.error("helper", f"there is no helper {name}")
        registered = helpers[name] if is_loaded else Registered.unloaded(name)
        made = cls(services, flow, registered, _restored(registered, state) or Helper())
        made.blocked = state.boolean("blocked")
        return made

    @property
    def lacks_helper(self) -> bool:
        """Whether a stand-in, which does nothing, is in the place of the helper."""
        return type(self._helper) is Helper

    @property
    def longest(self) -> int:
        """Bytes of the longest line or datagram that is given to the helper."""
        return self._helper.max_line

    def framer(self) -> Framer:
        """Return the helper's framer. Raises whatever the helper raises."""
        return self._helper.framer()

    def renew(self) -> None:
        """Replace the helper by its newer code, with the same state. Raises whatever the newer code raises."""
        helper = self.registered.use.make()
        helper.resume(dict(vars(self._helper)))
        self._helper = helper

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        try:
            return self._helper.may_rewrite(speaker, partial)
        except Exception as error:
            self._fail(speaker, partial, error)
            return False

    def misframed(self, speaker: Speaker, error: Exception) -> None:
        self._fail(speaker, b"", error)

    def handle(self, speaker: Speaker, message: Message) -> Handled:
        self.registered.inspected += 1
        self.work += 1
        line = message.text
        transaction = Transaction(self._services, self, speaker, message)
        try:
            if self.registered.call is None:
                self._helper.on_line(line, transaction)
            else:
                self.registered.call(self._helper, line, transaction)
        except AlreadyForwardedError as error:
            transaction.rollback()
            self.refuse(speaker, line, str(error), by_helper=False)
            return UNCHANGED
        except Exception as error:
            transaction.rollback()
            self._fail(speaker, line, error)
            return UNCHANGED
        return transaction.commit()

    def _fail(self, speaker: Speaker, line: bytes, error: Exception) -> None:
        self.registered.failed += 1
        self._block()
        # An exception may quote the line.
        text = type(error).__name__ if has_password(line) else said(error)
        self._services.emit(
            events.HelperFailed(
                self._services.now, self.flow.id, self.registered.use.name, speaker, line, text
            )
        )

    def tell_encrypted(self) -> None:
        flow, name = self.flow, self.registered.use.name
        self._services.emit(events.FlowEncrypted(self._services.now, flow.id, name, flow.opened_by))

    def refuse(
        self,
        speaker: Speaker,
        line: bytes,
        reason: str,
        by_helper: bool,
        announced: Endpoint | None = None,
    ) -> None:
        """Report a refusal. `by_helper`: the helper itself says that this is an attack. `announced` is the endpoint
        that was refused, if it is one."""
        self.work += REFUSAL_COST
        refused = self.registered.refused
        counted = reason if reason in refused or len(refused) < MOST_REASONS else OTHER_REASONS
        refused[counted] = refused.get(counted, 0) + 1
        if by_helper:
            self._block()
        self._services.emit(
            events.Refused(
                self._services.now,
                self.flow.id,
                self.registered.use.name,
                speaker,
                reason,
                line,
                announced,
            )
        )

    def _block(self) -> None:
        self.blocked |= self.registered.use.on_failure is OnFailure.DROP


def _restored(registered: Registered, state: Fields) -> Helper | None:
    """Return an instance of the helper with its earlier state, or None if that is not possible."""
    version = state.integer_or_none("version")
    try:
        helper = registered.use.make()
        if version is None or version != helper.state_version:
            return None
        helper.restore(state.fields("state"))
        helper.framer()
    except Exception:  # whatever its code raises; the flow reports that it starts anew
        return None
    return helper


def edited(text: bytes, replacements: Sequence[Replacement]) -> bytes:
    """Return `text` with its replacements, which are in order."""
    after, at = b"", 0
    for each in replacements:
        after += text[at : each.start] + each.text
        at = each.end
    return after + text[at:]


class Transaction(HelperContext):
    """The requests of a helper for one message. They take effect on `commit`, but ports are reserved from
    `expect` on."""

    # Most messages cause no request, so these are not set for each.
    _replacements: tuple[Replacement, ...] = ()
    _expectations: tuple[Expectation, ...] = ()
    _refusal: str | None = None
    _stop = False
    _encrypted = False
    _forget = False

    def __init__(
        self, services: HelperServices, attachment: Attachment, speaker: Speaker, line: Message
    ) -> None:
        self.speaker = speaker
        self._services = services
        self._attachment = attachment
        self._line = line

    def endpoint(self, speaker: Speaker) -> Endpoint:
        return self._attachment.flow.end(speaker).real

    def expect(self, announced: Endpoint, protocol: int = TCP) -> Endpoint | None:
        try:
            made = self._services.expect(self._attachment, self.speaker, announced, protocol)
        except Refusal as refusal:
            text, translated = self._line.text, self._translated(announced)
            self._attachment.refuse(self.speaker, text, str(refusal), False, translated)
            return None
        self._attachment.work += EXPECTATION_COST
        self._expectations += (made,)
        return made.public

    def _translated(self, announced: Endpoint) -> Endpoint:
        """Return where the other end connects to if it is not told otherwise."""
        if announced.address != ANYWHERE:
            return announced
        known = self._attachment.flow.end(self.speaker).translated.address
        return Endpoint(known, announced.port)

    def forget(self) -> None:
        self._forget = True

    def replace(self, start: int, end: int, text: bytes) -> None:
        if not 0 <= start < end <= len(self._line.text):
            raise ValueError(f"{start}:{end} is outside the line of {len(self._line.text)} bytes")
        if start < self._line.passed:
            raise AlreadyForwardedError("part of the line had already been forwarded")
        if any(start < r.end and r.start < end for r in self._replacements):
            raise ValueError(f"{start}:{end} overlaps another replacement")
        self._replacements += (Replacement(start, end, bytes(text)),)

    def refuse(self, reason: str) -> None:
        self._refusal = reason

    def stop(self, encrypted: bool = False) -> None:
        self._stop = True
        self._encrypted = encrypted

    def rollback(self) -> None:
        self._services.withdraw(self._expectations)

    def commit(self) -> Handled:
        """Carry out all requests."""
        if self._refusal is not None:
            self.rollback()
            self._attachment.refuse(self.speaker, self._line.text, self._refusal, by_helper=True)
            return UNCHANGED
        if self._forget:
            self._services.forget(self._attachment.flow)
        if self._expectations:
            self._services.confirm(self._expectations, self._attachment)
        if self._encrypted:
            self._attachment.tell_encrypted()
        if not self._replacements:
            return Handled((), self._stop) if self._stop else UNCHANGED
        replacements = tuple(sorted(r for r in self._replacements if self._changes(r)))
        if replacements:
            self._tell_rewritten(replacements)
        return Handled(replacements, self._stop)

    def _changes(self, replacement: Replacement) -> bool:
        return self._line.text[replacement.start : replacement.end] != replacement.text

    def _tell_rewritten(self, replacements: tuple[Replacement, ...]) -> None:
        self._attachment.registered.rewritten += 1
        self._services.emit(
            events.Rewritten(
                self._services.now,
                self._attachment.flow.id,
                self._attachment.registered.use.name,
                self.speaker,
                self._line.position,
                self._line.text,
                edited(self._line.text, replacements),
            )
        )
