"""Public ports: unpredictable (RFC 6056, 3.3.1), and never one that is somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Container

from ipmasq.core.policy import PortRange

Chance = Callable[[int], int]
"""`chance(n)`: an integer of 0..n-1, uniform and unpredictable."""


class PortPool:
    """The free ports of one protocol at one public address.

    Every free port is equally likely, and taking one costs the same however few are left.
    """

    def __init__(self, ports: PortRange) -> None:
        self.ports = ports
        self._free = list(range(ports.low, ports.high + 1))

    def __len__(self) -> int:
        return len(self._free)

    def take(self, chance: Chance, barred: Container[int]) -> int | None:
        """A free port that is not barred; None if there is none."""
        free = self._free
        aside = []
        while free:
            index = chance(len(free))
            port = free[index]
            free[index] = free[-1]
            free.pop()
            if port not in barred:
                break
            aside.append(port)
        else:
            port = None
        free.extend(aside)
        return port

    def give(self, port: int) -> None:
        """The port is free again."""
        if port in self.ports:
            self._free.append(port)
