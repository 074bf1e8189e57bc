"""What the control interface needs of a gateway."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ipmasq.control.answer import Peer
from ipmasq.control.examination import Examination
from ipmasq.control.journal import Journal
from ipmasq.control.survey import Survey
from ipmasq.control.transfers import Transfers
from ipmasq.core.engine import Engine
from ipmasq.core.policy import Forward, Timeouts
from ipmasq.core.views import Passage
from ipmasq.gateway.availability import Availability
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.upgrade import Upgrade
from ipmasq.planes.fastpath import Counter


class Firewall(Protocol):
    @property
    def found(self) -> Sequence[Finding]:
        """What in the host's firewall obstructs the gateway now."""


class RunningGateway(Protocol):
    """Changes take effect at once. They raise ValueError if they conflict with the present state, KeyError if
    what they name does not exist."""

    @property
    def engine(self) -> Engine: ...

    @property
    def availability(self) -> Availability | None:
        """Its role in a group of gateways; None if it is alone."""

    @property
    def firewall(self) -> Firewall: ...

    def status(self) -> Mapping[str, Any]:
        """Return facts for people and programs, as JSON values."""

    def policy_text(self) -> str:
        """Return a configuration (TOML) that decides about packets as the running one does, and opens or writes
        nothing."""

    def fast_path(self) -> Iterable[Counter]:
        """Yield counters of packets that the fast path forwarded, dropped or left to the engine. Nothing if
        there is no fast path."""

    def reload(self) -> tuple[int, Sequence[str]]:
        """Apply the changed configuration. Return how many flows it closed, and warnings.

        Raises SetupError with every mistake; then the old policy stays in force.
        """

    @property
    def saved_path(self) -> str:
        """The file in which changes are saved."""

    def review_forward(self, forward: Forward) -> Generator[None, None, Sequence[str]]:
        """Return warnings about a forward that is to be added, one sentence each. Yields until they are known."""

    def add_forward(self, forward: Forward, save: bool, warnings: Sequence[str]) -> Sequence[str]:
        """Add a forward, which has these warnings. Return those that are left. `save`, here and below: also change the
        saved configuration."""

    def obstructions(self, of: Passage | Forward) -> Generator[None, None, Sequence[str]]:
        """Find what in the host's firewall drops the packets of such a flow, or connections to this forward, for certain,
        and which rule to add. Yields until that is known."""

    def remove_forward(self, name: str, save: bool) -> None: ...

    def close(self, flow: int) -> bool: ...

    def load_helper(
        self, name: str | None, file: str | None, ports: Sequence[int] | None, save: bool
    ) -> str:
        """Load a helper by its registered name, or from a file. Return its name."""

    def reload_helper(self, name: str) -> None: ...

    def unload_helper(self, name: str, save: bool) -> None: ...

    def set_timeouts(self, timeouts: Timeouts) -> None: ...


@dataclass(frozen=True)
class Context:
    """The state from which a request is answered."""

    gateway: RunningGateway
    journal: Journal
    transfers: Transfers
    survey: Survey
    examination: Examination
    upgrade: Upgrade | None
    """The successor of this process; None if this process cannot start one."""
    peer: Peer
    now: float
    """The time on the gateway's clock when the answer began."""
    clock: Callable[[], float]
    """The gateway's clock."""
    epoch: float
    """The seconds to add to the gateway's clock to get seconds since 1970."""

    def numbers(self) -> Iterator[int]:
        """Yield in their order the numbers of all flows that are alive at the beginning, and of some that have ended, so
        that each of them is a step. It takes little to begin."""
        engine = self.gateway.engine
        return engine.table.walk(engine.manager.opened)
