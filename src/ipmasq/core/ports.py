"""Public ports: unpredictable (RFC 6056, 3.3.1), and never one that is somebody else's."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Iterator
from typing import Generic, TypeVar

from ipmasq.core.policy import Ports
from ipmasq.wire.addresses import Address

Chance = Callable[[int], int]
"""`chance(n)`: an integer of 0..n-1, uniform and unpredictable."""

SHARED = tuple(range(0x10000))
"""One object per 16-bit number, instead of several per flow."""

_ALL = array("H", SHARED)
"""Slices of it are copied much faster than they are made."""

Holder = TypeVar("Holder")


class PortPool(Generic[Holder]):
    """The ports of one protocol at one public address: which are free, and who holds the others.

    Every free port is equally likely, and taking one costs the same however few are left and however
    many ranges there are. A list finds a holder as fast as a dictionary does, in a sixth of the memory;
    between two ranges it has room for nobody.
    """

    def __init__(self, protocol: int, address: Address, ports: Ports) -> None:
        self.protocol = protocol
        self.address = address
        self.ports = ports
        self._free = array("H")
        for low, high in ports.ranges:
            self._free += _ALL[low : high + 1]
        self._low = ports.low
        self._holders: list[Holder | None] = [None] * (ports.high + 1 - ports.low)

    def __len__(self) -> int:
        """How many are free."""
        return len(self._free)

    @property
    def used(self) -> int:
        """How many are not."""
        return self.ports.size - len(self._free)

    def has_free(self, barred: Container[int]) -> bool:
        """Whether there is a port to take."""
        return any(port not in barred for port in self._free)

    def __iter__(self) -> Iterator[Holder]:
        """Those who hold a port, in the order of the ports."""
        return (holder for holder in self._holders if holder is not None)

    def at(self, port: int) -> Holder | None:
        """Who holds it."""
        place = port - self._low
        return self._holders[place] if 0 <= place < len(self._holders) else None

    def take(self, chance: Chance, barred: Container[int]) -> int | None:
        """A free port that is not barred, for somebody who then holds it; None if there is none."""
        free = self._free
        aside = []
        while free:
            index = chance(len(free))
            port = SHARED[free[index]]
            free[index] = free[-1]
            free.pop()
            if port not in barred:
                break
            aside.append(port)
        else:
            port = None
        free.extend(aside)
        return port

    def claim(self, port: int) -> bool:
        """Take this very port; False if it is not free."""
        try:
            index = self._free.index(port)
        except ValueError:
            return False
        self._free[index] = self._free[-1]
        self._free.pop()
        return True

    def lend(self, count: int, chance: Chance, barred: Container[int]) -> Block[Holder]:
        """As many free ports as there are, up to `count`, that are not barred. Only whoever has the block
        can take one of them, until it is returned."""
        taken = (self.take(chance, barred) for _ in range(count))
        return Block(self, {port for port in taken if port is not None})

    def hold(self, port: int, holder: Holder) -> None:
        """Whose it is, once it is taken."""
        self._holders[port - self._low] = holder

    def give(self, port: int) -> None:
        """The port is free again."""
        self._holders[port - self._low] = None
        self._free.append(port)


class Block(Generic[Holder]):
    """Ports of a pool that are lent: they are neither free nor held. One that is claimed leaves the block for
    good, and is given back to the pool like any other once its holder has ended."""

    def __init__(self, pool: PortPool[Holder], ports: set[int]) -> None:
        self.pool = pool
        self.ports = ports

    def claim(self, port: int) -> bool:
        """Take this very port; False if it is not in the block."""
        if port not in self.ports:
            return False
        self.ports.remove(port)
        return True

    def end(self) -> None:
        """Return the ports that nobody has claimed."""
        for port in self.ports:
            self.pool.give(port)
        self.ports = set()


class SharedPool(PortPool[Holder]):
    """Ports that are never used up: a holder stands for all who share its port."""

    def __init__(self, protocol: int, address: Address, ports: Ports) -> None:
        super().__init__(protocol, address, ports)
        self._used = 0

    def __len__(self) -> int:
        """How many nobody has."""
        return len(self._free) - self._used

    @property
    def used(self) -> int:
        return self._used

    def any(self, chance: Chance) -> int:
        """Any port, whether somebody has it or not."""
        return SHARED[self._free[chance(len(self._free))]]

    def all(self) -> Iterator[int]:
        return iter(self._free)

    def hold(self, port: int, holder: Holder) -> None:
        super().hold(port, holder)
        self._used += 1

    def give(self, port: int) -> None:
        self._holders[port - self._low] = None
        self._used -= 1
