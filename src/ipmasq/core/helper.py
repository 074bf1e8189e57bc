"""The helper door: all that a helper sees, and all that it can say.

A helper is one class, one instance per control flow. It is shown what each end says, as a stream, and
it never learns which end is masqueraded. What it wishes is applied after it has returned; if it raises,
nothing that it wished happens.

    class Finger(Helper):
        name, ports = "finger", (79,)

        def on_line(self, line: bytes, door: Door) -> None:
            ...

A line arrives whole, with its terminator, at its true position in the stream, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from ipmasq.core.framing import Framer as Framer
from ipmasq.core.framing import Lines
from ipmasq.core.speaker import Speaker as Speaker  # it belongs to what helpers are told
from ipmasq.wire.addresses import Endpoint

TCP = 6
UDP = 17

ANYWHERE = b""
"""In an announcement: no address was said, so the one by which the speaker is known is meant."""


class HelperContext(ABC):
    """What a helper is given with each line, and what it can wish. Offsets are bytes within that line."""

    speaker: Speaker
    """Who said this line."""

    @abstractmethod
    def endpoint(self, speaker: Speaker) -> Endpoint:
        """Where `speaker` is, as it sees itself (an inside end: its inside address and port)."""

    @abstractmethod
    def expect(self, announced: Endpoint, protocol: int = TCP) -> Endpoint | None:
        """The speaker announces that it will take a flow at `announced`: make it possible.

        `announced.address` may be `ANYWHERE`. Returns that endpoint as the other end must see it; equal to
        `announced` if nothing has to be rewritten. A public place that already leads to the speaker (a
        forward, a mapping) is right as it is. Returns None, and counts why, if the announcement is not acceptable: an address that
        is not the speaker's own (its inside address, or the public one by which the other end reaches
        it), a port below 1024, a limit, no free port. A line that gets None must be left alone.

        The flow that comes (one, from the other end's address, within the expectation's life) is
        linked: while it lives, this control flow is not forgotten.
        """

    @abstractmethod
    def forget(self) -> None:
        """What this flow has announced before this line and nobody has used yet is void."""

    @abstractmethod
    def replace(self, start: int, end: int, text: bytes) -> None:
        """Put `text` in the place of `line[start:end]`. Raises ValueError outside the line, if it
        overlaps another replacement, or if the bytes have already been forwarded (see `may_rewrite`)."""

    @abstractmethod
    def refuse(self, reason: str) -> None:
        """This line is an attack or nonsense: count and report it. Nothing else that was wished in
        this line happens; the line passes unmodified, or the flow is cut off if its policy is `drop`."""

    @abstractmethod
    def stop(self) -> None:
        """Look no further at this flow, in either direction (positions stay shifted)."""


class Helper:
    """Base of all helpers. Class attributes are its declaration, an instance serves one flow."""

    name: ClassVar[str]
    """How configuration and messages call it; one lower-case word."""

    ports: ClassVar[tuple[int, ...]] = ()
    """Ports that it is registered for unless the configuration says otherwise."""

    protocol: ClassVar[int] = TCP

    orthogonal: ClassVar[bool] = False
    """Whether it was written for both sides. If not, it is bound only where the client is inside."""

    terminator: ClassVar[bytes] = b"\r\n"
    """What ends a line."""

    max_line: ClassVar[int] = 2048
    """Bytes, terminator included. A longer line passes unseen and looking resumes after its end."""

    def framer(self) -> Framer:
        """How the stream is cut into what `on_line` is shown: into lines, unless the helper says otherwise (a
        protocol of counted messages, for instance). Asked once for each flow."""
        return Lines(self.terminator, self.max_line)

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        """Whether a line that starts like `partial` (no terminator yet) could become one that this
        helper rewrites. If so its bytes are held back (and acknowledged to their sender) until it is
        complete; if not they are forwarded as they come, and the complete line can no longer be
        changed. They are held for two seconds at most after the last of them came. Called for each growth of an incomplete line, so cheap; must not change state.
        """
        return True

    def on_line(self, line: bytes, context: HelperContext) -> None:
        """The speaker has said `line`, terminator included."""

    def resume(self, state: Mapping[str, object]) -> None:
        """Take over the instance attributes of an older instance of this helper, after a reload."""
        for name, value in state.items():
            if name in self.__dict__:
                setattr(self, name, value)
