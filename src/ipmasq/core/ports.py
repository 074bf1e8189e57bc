"""Pools of public ports. Ports are allocated unpredictably (RFC 6056, 3.3.1), and never twice."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Iterator
from itertools import filterfalse
from typing import Generic, TypeVar

from ipmasq.core.policy import Ports
from ipmasq.wire.addresses import Address

Chance = Callable[[int], int]
"""`chance(n)`: an integer of 0..n-1, uniform and unpredictable."""

SHARED = tuple(range(0x10000))
"""One object per 16-bit number, so that flows share them."""

_ALL = array("H", SHARED)
"""Slices of this array are copied much faster than they are made."""

Holder = TypeVar("Holder")


class PortPool(Generic[Holder]):
    """The ports of one protocol at one public address: the free ones, and the holders of the others.

    Every free port is equally likely, and taking one costs the same however few are left and however many
    ranges there are. A list finds a holder as fast as a dictionary does, in a sixth of the memory; its cells
    between two ranges stay empty. It is made for the first holder: a group of gateways has many pools without any.
    """

    def __init__(self, protocol: int, address: Address, ports: Ports, number: int = 0) -> None:
        """`number`: that of the pool, see `Mapping.number`."""
        self.number = number
        self.protocol = protocol
        self.address = address
        self.ports = ports
        self._all = array("H")
        """The free ports, and those of `_claimed`."""
        for low, high in ports.ranges:
            self._all += _ALL[low : high + 1]
        self._claimed = set[int]()
        """Ports of many holders that were claimed at once. Removing them takes long, so that is done when a free one is
        looked for."""
        self._low = ports.low
        self._holders: list[Holder | None] = []

    def __len__(self) -> int:
        """Number of free ports."""
        return len(self._all) - len(self._claimed)

    @property
    def used(self) -> int:
        """Number of ports in use."""
        return self.ports.size - len(self)

    @property
    def _free(self) -> array[int]:
        if self._claimed:
            self._all = array("H", filterfalse(self._claimed.__contains__, self._all))
            self._claimed = set()
        return self._all

    def has_free(self, barred: Container[int]) -> bool:
        """Return whether there is a free port that is not barred."""
        return any(port not in barred for port in self._free)

    def __iter__(self) -> Iterator[Holder]:
        """Iterate over the holders, in the order of their ports."""
        return filter(None, self._holders)  # no holder is false

    def at(self, port: int) -> Holder | None:
        """Return the holder of a port."""
        position = port - self._low
        return self._holders[position] if 0 <= position < len(self._holders) else None

    def take(self, chance: Chance, barred: Container[int]) -> int | None:
        """Take a free port that is not barred, for a holder (see `hold`). Return None if there is none."""
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
        """Take this port. Return False if it is not free."""
        free = self._free
        try:
            index = free.index(port)
        except ValueError:
            return False
        free[index] = free[-1]
        free.pop()
        return True

    def claim_all(self, ports: set[int]) -> None:
        """Take these ports, of which some may be taken already. The set belongs to this object then."""
        if not self.used:
            self._claimed = ports
        elif ports:
            self._all = array("H", filterfalse(ports.__contains__, self._free))

    def has_none_free(self, ports: set[int]) -> bool:
        """Return whether none of these ports is free."""
        return ports <= self._claimed or ports.isdisjoint(self._free)

    def lend(self, count: int, chance: Chance, barred: Container[int]) -> Block[Holder]:
        """Lend up to `count` free ports that are not barred. Only the owner of the block can take one of
        them, until the block is returned."""
        taken = (self.take(chance, barred) for _ in range(count))
        return Block(self, {port for port in taken if port is not None})

    def hold(self, port: int, holder: Holder) -> None:
        """Set the holder of a port that was taken."""
        if not self._holders:
            self._holders = [None] * (self.ports.high + 1 - self._low)
        self._holders[port - self._low] = holder

    def restore(self, port: int, holder: Holder) -> None:
        """Set the holder of a port that was taken before, for an earlier process's holder."""
        self.hold(port, holder)

    def release(self, port: int) -> None:
        """Free the port."""
        if self._holders:
            self._holders[port - self._low] = None
        self._free.append(port)


class Block(Generic[Holder]):
    """Ports of a pool that are lent: they are neither free nor held. A port that is claimed leaves the block
    for good, and is given back to the pool like any other when its holder ends."""

    def __init__(self, pool: PortPool[Holder], ports: set[int]) -> None:
        self.pool = pool
        self.ports = ports

    def claim(self, port: int) -> bool:
        """Take this port. Return False if it is not in the block."""
        if port not in self.ports:
            return False
        self.ports.remove(port)
        return True

    def end(self) -> None:
        """Return the ports that were not claimed."""
        for port in self.ports:
            self.pool.release(port)
        self.ports = set()


class SharedPool(PortPool[Holder]):
    """A pool of shared ports, which are never used up: a holder stands for all flows that share its port."""

    def __init__(self, protocol: int, address: Address, ports: Ports, number: int = 0) -> None:
        super().__init__(protocol, address, ports, number)
        self._used = 0

    def __len__(self) -> int:
        """Number of ports without a holder."""
        return len(self._all) - self._used

    @property
    def used(self) -> int:
        return self._used

    def any(self, chance: Chance) -> int:
        """Return any port, whether it has a holder or not."""
        return SHARED[self._all[chance(len(self._all))]]

    def all(self) -> Iterator[int]:
        return iter(self._all)

    def claim_all(self, ports: set[int]) -> None:
        """Do nothing: a shared port is never used up."""

    def has_none_free(self, ports: set[int]) -> bool:
        return True

    def await_holders(self, count: int) -> None:
        """Count so many ports as used whose holders are entered later, by `restore`."""
        self._used += count

    def restore(self, port: int, holder: Holder) -> None:
        super().hold(port, holder)

    def hold(self, port: int, holder: Holder) -> None:
        super().hold(port, holder)
        self._used += 1

    def release(self, port: int) -> None:
        self._holders[port - self._low] = None
        self._used -= 1
