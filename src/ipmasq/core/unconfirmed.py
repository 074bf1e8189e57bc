"""Flows that unknown outside hosts have caused and not confirmed. They are evicted when their host has reached a limit.

Anybody can send the first packet of a flow with a forged source address, and a published server answers it;
that must not keep its clients out (attack A-29). Some protocols answer from another port (TFTP), so that the answer
is a flow of its own, and takes a public port of the server's.

A flow from outside is confirmed once its client has shown that it receives the answers (TCP), or has sent again and
was answered (UDP); the flow of an answer, once the stranger has sent something in it. Other live flows are never
evicted (RFC 6888, REQ-11D).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

from ipmasq.core.changes import Changes
from ipmasq.core.flow import Flow
from ipmasq.core.side import Side
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address

Key = TypeVar("Key")

Ordered: TypeAlias = OrderedDict[int, Flow]
"""Flows by number, the oldest first. (A dict takes long to find its first item after many were removed from its
beginning, as happens in a flood.)"""


def is_confirmed(flow: Flow) -> bool:
    """Return whether the stranger has shown that it receives what is sent to it."""
    if flow.protocol == ipv4.TCP:
        return not flow.is_opening
    if flow.opened_by is Side.INSIDE:
        return flow.reply.packets > 0
    return flow.original.packets > 1 and flow.reply.packets > 0


class Unconfirmed:
    """Flows by inside host, in the order in which they were opened. Confirmed ones are removed when they are
    met, so that a look-up takes constant time on average."""

    def __init__(self, changes: Changes | None = None) -> None:
        self._changes = changes or Changes()
        self._hosts: dict[Address, Ordered] = {}
        self.ranks: dict[int, int] = {}
        """The places of all flows in the order in which they were added."""
        self.added = 0
        """The last place."""
        self._answers: dict[tuple[int, Address], Ordered] = {}
        """Those that were opened from inside, by protocol and inside host."""
        self._strangers: dict[bytes, int] = {}
        """Number of flows from outside by `_ends`."""

    def is_answer(self, flow: Flow) -> bool:
        """Return whether a flow from inside leads to an endpoint from which a flow to the same host came."""
        return bool(self._strangers) and _ends(flow) in self._strangers

    def add(self, flow: Flow) -> None:
        """Add a flow that was opened from outside, or that answers one."""
        flows = self._hosts.setdefault(flow.host, OrderedDict())
        if flow.id in flows:
            return
        flows[flow.id] = flow
        self.added += 1
        self.ranks.setdefault(flow.id, self.added)
        if flow.opened_by is Side.INSIDE:
            self._answers.setdefault((flow.protocol, flow.host), OrderedDict())[flow.id] = flow
        else:
            ends = _ends(flow)
            self._strangers[ends] = self._strangers.get(ends, 0) + 1

    def restore(self, ranks: dict[int, int], flows: dict[int, Flow]) -> None:
        """Add the flows of a state, with their places."""
        for number, rank in sorted(ranks.items(), key=lambda each: each[1]):
            self.add(flows[number])
            self.ranks[number] = rank
            self.added = max(self.added, rank)

    def discard(self, flow: Flow) -> None:
        """Remove a flow that has ended."""
        if not _remove(self._hosts, flow.host, flow):
            return
        self.ranks.pop(flow.id, None)
        if flow.opened_by is Side.INSIDE:
            _remove(self._answers, (flow.protocol, flow.host), flow)
            return
        ends = _ends(flow)
        self._strangers[ends] -= 1
        if not self._strangers[ends]:
            del self._strangers[ends]

    def oldest(self, host: Address, sync: Callable[[Flow], object]) -> Flow | None:
        """Return the flow that a host's newest flow may replace. `sync` is called before a flow is judged by
        what was seen of it."""
        return self._oldest(self._hosts, host, sync)

    def oldest_answer(
        self, protocol: int, host: Address, sync: Callable[[Flow], object]
    ) -> Flow | None:
        """Return the flow whose public port a host's newest flow may have."""
        return self._oldest(self._answers, (protocol, host), sync)

    def oldest_of_most(self, sync: Callable[[Flow], object]) -> Flow | None:
        """Return the oldest flow of the host that has the most of them."""
        return self._oldest_of_most(self._hosts, self._hosts, sync)

    def oldest_answer_of_most(self, protocol: int, sync: Callable[[Flow], object]) -> Flow | None:
        """Return the oldest answer of the host that has the most of this protocol."""
        keys = [key for key in self._answers if key[0] == protocol]
        return self._oldest_of_most(self._answers, keys, sync)

    def _oldest_of_most(
        self,
        groups: dict[Key, Ordered],
        keys: Iterable[Key],
        sync: Callable[[Flow], object],
    ) -> Flow | None:
        while left := [key for key in keys if key in groups]:
            most = max(left, key=lambda each: len(groups[each]))
            flow = self._oldest(groups, most, sync)
            if flow is not None:
                return flow
        return None

    def _oldest(
        self, groups: dict[Key, Ordered], key: Key, sync: Callable[[Flow], object]
    ) -> Flow | None:
        while flows := groups.get(key):
            flow = next(iter(flows.values()))
            sync(flow)
            if not is_confirmed(flow):
                return flow
            self.discard(flow)
            self._changes.flow(flow.id)
        return None

    def check(self) -> None:
        """Raise AssertionError unless every index agrees with the flows by host."""
        flows = [flow for group in self._hosts.values() for flow in group.values()]
        answers = {flow.id for flow in flows if flow.opened_by is Side.INSIDE}
        assert answers == {number for group in self._answers.values() for number in group}
        strangers = [_ends(flow) for flow in flows if flow.id not in answers]
        assert self._strangers == {each: strangers.count(each) for each in set(strangers)}
        assert all(self._hosts.values())
        assert all(self._answers.values())


def _ends(flow: Flow) -> bytes:
    """Return the protocol, the inside host and the endpoint outside."""
    key = flow.original.match
    size = (len(key) - 4) // 2
    outside = key[size:-4] + key[-2:] if flow.opened_by is Side.INSIDE else key[:size] + key[-4:-2]
    return bytes((flow.protocol,)) + flow.host + outside


def _remove(groups: dict[Key, Ordered], key: Key, flow: Flow) -> bool:
    """Remove a flow from its group, and the group with its last flow. Return whether it was there."""
    flows = groups.get(key)
    if flows is None or flows.pop(flow.id, None) is None:
        return False
    if not flows:
        del groups[key]
    return True
