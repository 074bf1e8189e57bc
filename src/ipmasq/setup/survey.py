"""Which interfaces of a host can be inside and outside."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from ipmasq.config import HostAddress, HostState
from ipmasq.config.directions import is_private
from ipmasq.config.routes import ANYWHERE, Way
from ipmasq.wire.addresses import to_text

CONTAINERS = re.compile(
    r"(docker|podman|virbr|lxcbr|lxdbr|cni|flannel|cilium|cali|kube|veth)[\w.@-]*|br-[0-9a-f]{12}"
)
"""Names of interfaces that software for containers and virtual machines makes, and masquerades itself."""

NO_ROUTE = (
    "this host has no default route, so it cannot be told which interface leads to the others;"
    " add the route, or name the interface: ipmasq setup --outside NAME"
)


class Unsuitable(Exception):  # noqa: N818 - an answer, not an error
    """Why no gateway can be set up here; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class Survey:
    outside: str
    """The interface by which the default route leaves, or that was named."""
    inside: tuple[str, ...]
    """Interfaces that may have inside hosts behind them."""
    others: tuple[str, ...]
    """Those with an address that may not."""


def survey(here: HostState, outside: str | None = None) -> Survey:
    """Judge the interfaces. Raises Unsuitable."""
    name = outside or _outside(here)
    known = [each for each in here.interfaces if each != "lo"]
    if name not in known:
        have = ", ".join(known) or "none"
        raise Unsuitable(f"this host has no interface {name}; it has {have}")
    addressed = [each for each in known if each != name and here.interfaces[each]]
    inside = tuple(each for each in addressed if _may_be_inside(each, here.interfaces[each]))
    others = tuple(each for each in addressed if each not in inside)
    if not inside:
        raise Unsuitable(_no_inside(name, others, set(known) - {name} - set(others)))
    return Survey(name, inside, others)


def describe(name: str, here: HostState) -> str:
    """Return an interface with its addresses."""
    found = [f"{to_text(each.address)}/{each.length}" for each in here.interfaces.get(name, ())]
    return f"{name} ({', '.join(found) or 'no address now'})"


def _outside(here: HostState) -> str:
    route = here.route_to(ANYWHERE)
    if route is None or route.way is not Way.OUT:
        raise Unsuitable(NO_ROUTE)
    return route.interface


def _may_be_inside(name: str, addresses: Collection[HostAddress]) -> bool:
    """Return whether hosts may be behind it that nobody masquerades: it is no interface of containers, and its
    networks are private and have room for a host."""
    return not CONTAINERS.fullmatch(name) and all(
        is_private(each.network) and each.length < 8 * len(each.address) for each in addresses
    )


def _no_inside(outside: str, others: Collection[str], bare: Collection[str]) -> str:
    text = f"the only interface that can be used is {outside}, which is the outside one"
    if others:
        text += f" ({', '.join(others)}: of containers, or of a network that is not private)"
    if bare:
        names = ", ".join(sorted(bare))
        return f"{text}; give the inside interface an address: ip addr add 10.0.0.1/24 dev NAME, where NAME is one of {names}"
    return f"{text}; connect a second one, or add a VLAN, for the hosts that are to be masqueraded"
