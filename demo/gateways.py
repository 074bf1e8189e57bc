"""What a gateway shall do here, and what can be asked of one, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from demo import cells
from demo.session import Testbed


@dataclass(frozen=True)
class Forwarding:
    port: int
    host: str
    host_port: int


@dataclass(frozen=True)
class Setting:
    """How a gateway shall work.

    `idle`: seconds until an established connection is forgotten; None: as is usual. `strict`: a mapping
    admits only the endpoints that it has written to, not all of their hosts.
    """

    host: str
    forwards: tuple[Forwarding, ...]
    idle: int | None = None
    strict: bool = False
    helper_ports: tuple[int, ...] = field(default=cells.HELPER_PORTS)


_SERVED = (cells.STANDARD_PORT, cells.OTHER_PORT, cells.SLOW_PORT)
SETTINGS = (
    Setting(
        "gw1",
        (
            *(Forwarding(port, "in2", port) for port in (*_SERVED, cells.PROUD_PORT)),
            Forwarding(cells.MOVED_PORT, "in2", cells.STANDARD_PORT),
        ),
    ),
    Setting("gw2", tuple(Forwarding(port, "far1", port) for port in _SERVED)),
)


@dataclass(frozen=True)
class FastPath:
    """Packets that a gateway's programs forwarded, those of them that XDP did, and those left alone."""

    offloaded: int = 0
    by_xdp: int = 0
    left: int = 0

    def __add__(self, other: FastPath) -> FastPath:
        return FastPath(
            self.offloaded + other.offloaded, self.by_xdp + other.by_xdp, self.left + other.left
        )


class Gateway(Protocol):
    """A gateway on one host of the lab."""

    host: str

    def start(self) -> None:
        """Returns when it works."""

    def unload_helper(self) -> None:
        """After this, FTP is not understood."""

    def account(self) -> str:
        """What it says of itself, for the report of a failure."""

    def fast_path(self) -> FastPath | None:
        """What it has done so far; None if it has none."""

    def kill(self) -> None:
        """End it at once (SIGKILL), so that it can undo and save nothing."""

    def stop(self) -> None: ...


MakeGateway: TypeAlias = Callable[[Testbed, Setting], Gateway]
