"""What inspects the messages of a TCP connection, as the rewriter sees it: a listener, and what it wants replaced."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ipmasq.core.framing import Message
from ipmasq.core.speaker import Speaker
from ipmasq.core.stream import Replacement


class Handled(NamedTuple):
    """What to replace in a message, in order, and whether inspection ends after it."""

    replacements: tuple[Replacement, ...] = ()
    stop: bool = False


UNCHANGED = Handled()


class Listener(Protocol):
    """Inspects messages."""

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        """See `ipmasq.core.helper.Helper.may_rewrite`."""

    def handle(self, speaker: Speaker, message: Message) -> Handled:
        """Handle a complete message."""

    def misframed(self, speaker: Speaker, error: Exception) -> None:
        """Handle an error of the framer other than ValueError. No further message will be given."""
