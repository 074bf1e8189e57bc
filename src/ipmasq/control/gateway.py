"""What control needs of a gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ipmasq.control.answer import Peer
from ipmasq.control.journal import Journal
from ipmasq.core.engine import Engine
from ipmasq.core.policy import Forward, Timeouts
from ipmasq.core.views import Passage


class RunningGateway(Protocol):
    """Changes raise ValueError if they would contradict what is there, KeyError if what they name is
    not; and take effect at once."""

    @property
    def engine(self) -> Engine: ...

    def status(self) -> Mapping[str, Any]:
        """Facts for people and programs, as JSON can say them."""

    def fast_path(self) -> Iterable[tuple[str, int, str]]:
        """Packets that the fast path forwarded, and those that it left to the engine: a name for
        machines, how many, a sentence for people. Nothing if there is none."""

    def reload(self) -> tuple[int, Sequence[str]]:
        """Go on under the changed configuration: how many flows it closed, and warnings.

        Raises SetupError with every mistake; then the old policy stays in force.
        """

    @property
    def saved_path(self) -> str:
        """The file in which changes are saved."""

    def add_forward(self, forward: Forward, save: bool) -> Sequence[str]:
        """Publish it; what is doubtful about it, a sentence each. `save`, here and below: in the
        configuration as well."""

    def obstructions(self, passage: Passage) -> Sequence[str]:
        """What in the host's firewall drops the packets of such a flow for certain, and which rule to add."""

    def remove_forward(self, name: str, save: bool) -> None: ...

    def close(self, flow: int) -> bool: ...

    def load_helper(
        self, name: str | None, file: str | None, ports: Sequence[int] | None, save: bool
    ) -> str:
        """By its registered name, or out of a file; its name."""

    def reload_helper(self, name: str) -> None: ...

    def unload_helper(self, name: str, save: bool) -> None: ...

    def set_timeouts(self, timeouts: Timeouts) -> None: ...


@dataclass(frozen=True)
class Context:
    """What a request is answered from."""

    gateway: RunningGateway
    journal: Journal
    peer: Peer
    now: float
    """On the gateway's clock, when the answer began."""
    epoch: float
    """What to add to the gateway's clock to get seconds since 1970."""
