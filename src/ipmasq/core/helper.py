"""The interface of helpers: all that a helper is given, and all that it can request.

A helper is one class, with one instance per control flow. It is given what each end sends, and never learns
which end is masqueraded. Its requests for one line are a transaction, which is committed after it has
returned; if it raises, the transaction is rolled back.

    class Finger(Helper):
        name, ports = "finger", (79,)

        def on_line(self, line: bytes, context: HelperContext) -> None:
            ...

A line is given once, whole and with its terminator, at its true position in the stream. Of UDP, each datagram is
given as a line; a retransmitted one is given again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from ipmasq.core.framing import Framer as Framer
from ipmasq.core.framing import Lines
from ipmasq.core.plain import Fields as Fields
from ipmasq.core.plain import Plain as Plain
from ipmasq.core.speaker import Speaker as Speaker  # it belongs to what helpers are told
from ipmasq.wire.addresses import Endpoint

TCP = 6
UDP = 17

ANYWHERE = b""
"""Announced as the address if the line names none; then the address by which the speaker is known is meant."""


class HelperContext(ABC):
    """What a helper is given with each line, and how it makes requests. Offsets are bytes within that line."""

    speaker: Speaker
    """The end that sent this line."""

    @abstractmethod
    def endpoint(self, speaker: Speaker) -> Endpoint:
        """Return the real endpoint of `speaker` (for an inside end, its inside address and port)."""

    @abstractmethod
    def expect(self, announced: Endpoint, protocol: int = TCP) -> Endpoint | None:
        """Expect a flow, since the speaker announces that it will accept one at `announced`.

        `announced.address` may be `ANYWHERE`. Returns that endpoint as the other end must see it; it equals
        `announced` if nothing has to be rewritten. A public endpoint that already leads to the speaker (a
        forward, a mapping) is returned unchanged. Returns None, and counts the reason, if the announcement is
        not acceptable: an address that is not the speaker's own (its inside address, or the public one by
        which the other end reaches it), a port below 1024, a limit, no free port. A line that gets None must
        be left unchanged.

        One flow is admitted, from the other end's address, within the life of the expectation. It is linked:
        while it lives, this control flow does not expire.
        """

    @abstractmethod
    def forget(self) -> None:
        """End all expectations of this flow from before this line."""

    @abstractmethod
    def replace(self, start: int, end: int, text: bytes) -> None:
        """Write `text` in place of `line[start:end]`. Raises ValueError outside the line, if it overlaps
        another replacement, or if the bytes were forwarded already (see `may_rewrite`)."""

    @abstractmethod
    def refuse(self, reason: str) -> None:
        """Report that this line is an attack or malformed. The transaction of this line is rolled back; the
        line passes unchanged, or the flow is blocked if `on_failure` is `drop`."""

    @abstractmethod
    def stop(self, encrypted: bool = False) -> None:
        """End the inspection of this flow, in both directions (its positions stay shifted). `encrypted`: because
        the rest of it is ciphertext, which is reported."""


class Helper:
    """The base class of all helpers. The class attributes are its declaration; an instance serves one flow."""

    name: ClassVar[str]
    """The name in the configuration and in messages: one lower-case word."""

    ports: ClassVar[tuple[int, ...]] = ()
    """The server ports, unless the configuration says otherwise."""

    protocol: ClassVar[int] = TCP
    """TCP or UDP."""

    orthogonal: ClassVar[bool] = False
    """Whether it works whichever end is masqueraded. Otherwise it is bound only if the client is inside."""

    terminator: ClassVar[bytes] = b"\r\n"
    """The end of a line."""

    max_line: ClassVar[int] = 2048
    """Bytes of the longest line, terminator included, or datagram. A longer one passes without inspection."""

    def framer(self) -> Framer:
        """Return how the stream is split into the messages for `on_line`: into lines by default. Another
        framer suits a protocol whose messages state their length, for example. Called once for each flow."""
        return Lines(self.terminator, self.max_line)

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        """Return whether a line that begins with `partial` (no terminator yet) could become one that this
        helper rewrites. If so, its bytes are withheld (and acknowledged to their sender) until the line is
        complete, for two seconds at most after the last of them. If not, they are forwarded as they arrive,
        and the line can no longer be changed. Called for each growth of an incomplete line, so it must be
        cheap, and it must not change state."""
        return True

    def on_line(self, line: bytes, context: HelperContext) -> None:
        """Handle a line that the speaker has sent, terminator included, or a datagram."""

    # Optional: with these three, connections keep their helper's state when the gateway is restarted.

    state_version: ClassVar[int | None] = None
    """The version of what `to_state` returns; another number whenever older states cannot be restored. None
    means that there is no such state."""

    def to_state(self) -> Plain:
        """Return the state of this instance as plain values (see `ipmasq.core.plain`)."""
        return {}

    def restore(self, state: Fields) -> None:
        """Take over a state that `to_state` returned in the same version. It is called on a new instance. Raises
        StateError. A helper that cannot take over its state starts anew with the next message, as one that was
        loaded later."""

    def resume(self, state: Mapping[str, object]) -> None:
        """Take over the instance attributes of an older instance of this helper, after a reload."""
        for name, value in state.items():
            if name in self.__dict__:
                setattr(self, name, value)
