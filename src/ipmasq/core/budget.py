"""The budget of one host, and of all hosts together: bytes that are kept, and work that is done.

A host that has used its own share is refused, and no other is (attacks A-16, A-21). Only when the total is
used up, all are refused.
"""

from __future__ import annotations

from ipmasq.core.plain import Fields, Plain
from ipmasq.wire.addresses import Address

MOST_RATES = 4096
"""The most hosts whose work is remembered. Those with the least debt are forgotten first."""


class Memory:
    """Bytes that are kept for streams, by the host that pays for them."""

    def __init__(self, total: int, per_host: int) -> None:
        self.total = total
        self.per_host = per_host
        self.used = 0
        self._hosts: dict[Address, int] = {}

    def used_by(self, host: Address) -> int:
        """Bytes kept for a host."""
        return self._hosts.get(host, 0)

    def has_room(self, host: Address, count: int) -> bool:
        """Whether `count` more bytes may be kept for a host."""
        room = self.per_host - self._hosts.get(host, 0)
        return count <= room and self.used + count <= self.total

    def change(self, host: Address, count: int) -> None:
        """Change the number of bytes kept for a host by `count`, which may be negative."""
        self.used += count
        now = self._hosts.get(host, 0) + count
        if now:
            self._hosts[host] = now
        else:
            self._hosts.pop(host, None)

    def check(self, expected: dict[Address, int]) -> None:
        """Raise AssertionError unless exactly these bytes are accounted for."""
        assert self._hosts == {host: count for host, count in expected.items() if count}
        assert self.used == sum(expected.values())


class Account:
    """The part of `Memory` that belongs to one stream."""

    __slots__ = ("_host", "_memory", "kept")

    def __init__(self, memory: Memory, host: Address) -> None:
        self._memory = memory
        self._host = host
        self.kept = 0
        """Bytes that are accounted for."""

    @property
    def host(self) -> Address:
        return self._host

    def has_room(self, count: int) -> bool:
        return self._memory.has_room(self._host, count)

    def set(self, kept: int) -> None:
        """Set the number of bytes that are kept."""
        if kept != self.kept:
            self._memory.change(self._host, kept - self.kept)
            self.kept = kept


def unlimited() -> Account:
    """Return an account without a limit."""
    return Account(Memory(1 << 62, 1 << 62), b"")


class Rate:
    """Work per second, by host and in total: the generic cell rate algorithm with one number per host.

    Work is granted or refused before it is done. The burst is the work of one second.
    """

    def __init__(self, per_host: float, total: float) -> None:
        self.per_host = per_host
        self.total = total
        self._spent_until: dict[Address, float] = {}
        self._all_until = 0.0

    def allowance(self, host: Address, now: float) -> int:
        """Return how much work a host may do now."""
        mine, every = self.per_host, self.total
        until = self._spent_until.get(host, 0.0)
        if until > now:
            mine *= 1.0 + now - until
        if self._all_until > now:
            every *= 1.0 + now - self._all_until
        return max(0, int(mine if mine < every else every))

    def spend(self, host: Address, count: int, now: float) -> None:
        """Record that a host has done `count` units of work."""
        if len(self._spent_until) >= MOST_RATES and host not in self._spent_until:
            self._forget(now)
        mine, every = self._spent_until.get(host, now), self._all_until
        self._spent_until[host] = (mine if mine > now else now) + count / self.per_host
        self._all_until = (every if every > now else now) + count / self.total

    def to_state(self, now: float) -> Plain:
        """Return the debts as plain values, in seconds of work at the present rates."""
        hosts = [[host, at - now] for host, at in sorted(self._spent_until.items()) if at > now]
        return {"hosts": hosts, "all": max(0.0, self._all_until - now)}

    def restore(self, state: Fields, now: float) -> None:
        """Take over the debts of a state. Raises StateError."""
        self._all_until = state.moment("all", now)
        for each in state.rows("hosts"):
            self._spent_until[each.address(0)] = each.moment(1, now)

    def _forget(self, now: float) -> None:
        """Forget the hosts without debt; if there are none, the one with the least debt."""
        self._spent_until = {host: at for host, at in self._spent_until.items() if at > now}
        if len(self._spent_until) >= MOST_RATES:
            del self._spent_until[min(self._spent_until, key=self._spent_until.__getitem__)]
