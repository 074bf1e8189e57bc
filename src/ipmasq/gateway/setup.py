"""What the gateway needs of whoever configures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ipmasq.core.policy import HelperUse, Policy


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
