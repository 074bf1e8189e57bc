"""The routing rules that steer packets to the plane, and the addresses that the host answers for, as they are in force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from pyroute2 import IPRoute

from ipmasq.planes.tun import changes
from ipmasq.planes.tun.changes import IPV4_FAMILY, NTF_PROXY, ProxyAdded, RuleAdded
from ipmasq.planes.tun.journal import Journal
from ipmasq.planes.tun.steering import LOCAL, RoutingRule
from ipmasq.wire.addresses import Address, to_text


class Rules:
    def __init__(self, journal: Journal) -> None:
        """Those that the journal has adopted are in force already."""
        self._journal = journal
        adopted = [each.rule for each in journal.made(changes.RuleAdded)]
        self.made = tuple(rule for rule in adopted if rule.priority != LOCAL)
        self._proxies = tuple(journal.made(changes.ProxyAdded))

    def set(self, rules: Sequence[RoutingRule], is_all: bool) -> None:
        """Add rules, then remove the others, unless more will come (`is_all` is False). Raises NetlinkError."""
        gone = [rule for rule in reversed(self.made) if rule not in rules] if is_all else []
        self.made = (*self.made, *rules)  # in case the kernel refuses one of them
        self._journal.make(RuleAdded(IPV4_FAMILY, rule) for rule in rules)
        self._journal.undo(RuleAdded(IPV4_FAMILY, rule) for rule in gone)
        if is_all:
            self.made = tuple(rules)

    def answer_for(
        self, kernel: IPRoute, addresses: Iterable[Address], indices: Sequence[int]
    ) -> None:
        """Answer ARP requests for these addresses and no others, on the interfaces of these indices. Entries that an operator
        has made stay the operator's. Raises NetlinkError."""
        wanted = tuple(ProxyAdded(i, to_text(a)) for a in addresses for i in indices)
        if not set(wanted) <= set(self._proxies):
            others = proxies(kernel) - set(self._proxies)
            wanted = tuple(each for each in wanted if each not in others)
        self._journal.make(wanted)
        self._journal.undo(each for each in self._proxies if each not in wanted)
        self._proxies = wanted


def proxies(kernel: IPRoute) -> AbstractSet[ProxyAdded]:
    """Return all entries for which the kernel answers ARP requests."""
    # With a filter of its own, pyroute2 leaves the flags in the request, and so asks for proxy entries.
    question = {"family": IPV4_FAMILY, "flags": NTF_PROXY, "dump_filter": lambda entry: True}
    found = kernel.neigh("dump", **question)
    return {ProxyAdded(entry["ifindex"], entry.get_attr("NDA_DST")) for entry in found}
