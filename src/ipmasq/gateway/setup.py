"""What the gateway needs from a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ipmasq.continuity.settings import HaSettings, StateSettings
from ipmasq.core.policy import Forward, HelperUse, Policy
from ipmasq.wire.addresses import to_texts


@dataclass(frozen=True, slots=True)
class Setup:
    policy: Policy
    outside: str
    """The name of the interface that has the public addresses."""
    inside: tuple[str, ...]
    """The names of the interfaces behind which the inside networks are."""
    warnings: tuple[str, ...] = ()
    plane: str = "auto"
    """The plane, one of `ipmasq.gateway.planes.PLANES`."""
    state: StateSettings | None = None
    """Where its state is kept; None: nowhere."""
    ha: HaSettings | None = None
    """The group to which this gateway belongs, if any."""

    @property
    def kept(self) -> StateSettings | None:
        """How its state is kept for a successor; None if it is not. A member of a group gets it from the others."""
        return self.state if self.state and self.state.keep and self.ha is None else None

    def extent(self, policy: Policy) -> str:
        """Return whom the gateway serves under this policy, and with what."""
        networks = ", ".join(map(str, policy.inside))
        return f"{networks} behind {self.outside} ({to_texts(policy.public)}), ports {policy.ports}"


class SetupError(Exception):
    """The configuration cannot be used. `mistakes` has one sentence for each, with its location."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class Configuration(Protocol):
    path: str

    def read(self) -> Setup:
        """Read the file again. Raises SetupError; then `adapt` continues with what was read before."""

    def adapt(self) -> Setup:
        """Return what was read last, for the host's present addresses. Raises SetupError."""

    def helper(self, name: str | None, file: str | None, ports: Sequence[int] | None) -> HelperUse:
        """Return a helper that is not in the file. Raises KeyError if there is none, ValueError if it is
        unusable."""

    def renewed(self, use: HelperUse) -> HelperUse:
        """Return the same helper with its code read again. Raises ValueError if that is unusable."""

    def review_forward(self, forward: Forward, uses: Iterable[HelperUse]) -> Sequence[str]:
        """Return the warnings that the forward would cause in the file, with these helpers in use. Raises
        ValueError if it would be a mistake."""

    def policy_text(self, policy: Policy) -> str:
        """Return a configuration for another process that decides about packets as this policy does."""

    @property
    def saved_path(self) -> str:
        """The file in which changes are saved."""

    def save_forward(self, forward: Forward) -> None:
        """Add the forward to the saved configuration. Raises ValueError if that is not possible."""

    def forget_forward(self, name: str) -> bool:
        """Remove the forward from the saved configuration. Return whether it was there. Raises ValueError if
        the operator has written it."""

    def save_helper(self, use: HelperUse, file: str | None, ports: Sequence[int] | None) -> None:
        """Save a helper, with its file unless it is installed, and its ports unless they are the usual ones."""

    def forget_helper(self, name: str) -> None:
        """Remove a helper from the saved configuration, or switch it off if it is on by default."""
