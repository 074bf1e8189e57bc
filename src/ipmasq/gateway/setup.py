"""What the gateway needs of whoever configures it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ipmasq.core.policy import Forward, HelperUse, Policy


@dataclass(frozen=True, slots=True)
class Setup:
    policy: Policy
    outside: str
    """Name of the interface that has the public addresses."""
    inside: tuple[str, ...]
    """Names of the interfaces behind which the inside networks are."""
    warnings: tuple[str, ...] = ()
    plane: str = "auto"
    """What moves the packets: one of `ipmasq.gateway.planes.PLANES`."""


class SetupError(Exception):
    """The configuration cannot be used. `mistakes`: one sentence each, with its place."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class Configuration(Protocol):
    path: str

    def read(self) -> Setup:
        """Read the file again. Raises SetupError; then `adapt` goes on with what was read before."""

    def adapt(self) -> Setup:
        """What was read last, for the host's addresses as they are now. Raises SetupError."""

    def helper(self, name: str | None, file: str | None, ports: Sequence[int] | None) -> HelperUse:
        """One that is not in the file. Raises KeyError if there is none, ValueError if it is no good."""

    def renewed(self, use: HelperUse) -> HelperUse:
        """The same with its code read again. Raises ValueError if that is no good."""

    def review_forward(self, forward: Forward, uses: Iterable[HelperUse]) -> Sequence[str]:
        """What would be warned of if it stood in the file, with these helpers in use. Raises ValueError for
        what would be a mistake."""

    @property
    def saved_path(self) -> str:
        """Where changes are saved."""

    def save_forward(self, forward: Forward) -> None:
        """Have it in the configuration from now on. Raises ValueError if that cannot be."""

    def forget_forward(self, name: str) -> bool:
        """The contrary; whether it was saved. Raises ValueError if the operator has written it."""

    def save_helper(self, use: HelperUse, file: str | None, ports: Sequence[int] | None) -> None:
        """Likewise, with its file unless it is installed, and its ports unless the usual ones."""

    def forget_helper(self, name: str) -> None:
        """Have it in the configuration no longer, or switched off if it is on by default."""
