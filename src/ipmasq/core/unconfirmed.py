"""Flows that outside hosts have opened and not confirmed, which are evicted when their host has reached its
limit.

Anybody can send the first packet of a flow with a forged source address, and a published server answers it;
that must not keep its clients out (attack A-29). A flow is confirmed once its client has shown that it
receives the answers (TCP), or has sent again and was answered (UDP). Other live flows are never evicted (RFC 6888,
REQ-11D).
"""

from __future__ import annotations

from collections.abc import Callable

from ipmasq.core.changes import Changes
from ipmasq.core.flow import Flow
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address


def is_confirmed(flow: Flow) -> bool:
    """Return whether the client has shown that it receives the answers."""
    if flow.protocol == ipv4.TCP:
        return not flow.is_opening
    return flow.original.packets > 1 and flow.reply.packets > 0


class Unconfirmed:
    """Flows by inside host, in the order in which they were opened. Confirmed ones are removed when they are
    met, so that a look-up takes constant time on average."""

    def __init__(self, changes: Changes | None = None) -> None:
        self._changes = changes or Changes()
        self._hosts: dict[Address, dict[int, Flow]] = {}
        self.ranks: dict[int, int] = {}
        """The places of all flows in the order in which they were added."""
        self.added = 0
        """The last place."""

    def add(self, flow: Flow) -> None:
        """Add a flow that was opened from outside."""
        self.added += 1
        self.ranks.setdefault(flow.id, self.added)
        self._hosts.setdefault(flow.host, {})[flow.id] = flow

    def restore(self, ranks: dict[int, int], flows: dict[int, Flow]) -> None:
        """Add the flows of a state, with their places."""
        for number, rank in sorted(ranks.items(), key=lambda each: each[1]):
            self.added = max(self.added, rank)
            self.ranks[number] = rank
            self._hosts.setdefault(flows[number].host, {})[number] = flows[number]

    def discard(self, flow: Flow) -> None:
        """Remove a flow that has ended."""
        flows = self._hosts.get(flow.host)
        if flows is not None:
            flows.pop(flow.id, None)
            self.ranks.pop(flow.id, None)
            if not flows:
                del self._hosts[flow.host]

    def oldest(self, host: Address, sync: Callable[[Flow], object]) -> Flow | None:
        """Return the flow that a host's newest flow may replace. `sync` is called before a flow is judged by
        what was seen of it."""
        flows = self._hosts.get(host)
        while flows:
            flow = next(iter(flows.values()))
            sync(flow)
            if not is_confirmed(flow):
                return flow
            del flows[flow.id], self.ranks[flow.id]
            self._changes.flow(flow.id)
        self._hosts.pop(host, None)
        return None

    def oldest_of_most(self, sync: Callable[[Flow], object]) -> Flow | None:
        """Return the oldest flow of the host that has the most of them."""
        while self._hosts:
            host = max(self._hosts, key=lambda each: (len(self._hosts[each]), each))
            flow = self.oldest(host, sync)
            if flow is not None:
                return flow
        return None
