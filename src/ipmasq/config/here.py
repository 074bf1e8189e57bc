"""What only shows on a certain machine: names that it lacks, addresses and ports in each other's way."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.config.compiled import affordable_flows
from ipmasq.config.mistakes import Mistake, overlap
from ipmasq.config.model import Config
from ipmasq.config.sides import Sides, resolve
from ipmasq.config.surroundings import Surroundings
from ipmasq.config.tables import forward
from ipmasq.wire.addresses import Network, to_text


def collisions(config: Config, here: Surroundings) -> Iterator[Mistake]:
    """RFC 4787 REQ-7: an outside address in an inside network would be ambiguous. (A configured pool
    is compared with named networks by `mistakes.py` already.)"""
    sides = resolve(config.gateway, here)
    for address in sides.public:
        for network in sides.networks:
            named = network in config.gateway.inside.values() and config.gateway.public
            if address in network and not named:
                whose = (
                    "the public address" if config.gateway.public else f"{sides.outside}'s address"
                )
                message = f"{whose} {to_text(address)} is in the inside network {network}"
                yield _where(config, network), message


def inaccessible(config: Config, here: Surroundings) -> Iterator[Mistake]:
    """A control socket that cannot be served. Better said now than when the traffic has been taken over."""
    for setting, message in here.access(config.control.socket, config.control.group):
        yield ("control", setting), message


def _where(config: Config, network: Network) -> tuple[str | int, ...]:
    for index, entry in config.gateway.inside.items():
        if entry == network:
            return ("gateway", "inside", index)
    return ("gateway", "inside")


def local_doubts(config: Config, here: Surroundings) -> Iterator[Mistake]:
    sides = resolve(config.gateway, here)
    yield from _interfaces(config, here, sides)
    yield from _ephemeral(config, here)
    yield from _listening(config, here)
    yield from _memory(config, here)


def _memory(config: Config, here: Surroundings) -> Iterator[Mistake]:
    flows, most = config.limits.flows, affordable_flows(here.memory)
    if flows is not None and flows > most:
        message = (
            f"{flows:,} flows could take more than half of the {here.memory >> 20:,} MB of memory that this"
            f" gateway may have; {most:,} would not"
        )
        yield ("limits", "flows"), message


def _interfaces(config: Config, here: Surroundings, sides: Sides) -> Iterator[Mistake]:
    gateway = config.gateway
    if gateway.outside and gateway.outside not in here.interfaces:
        yield ("gateway", "outside"), f"this machine has no interface {gateway.outside}"
    elif gateway.outside and not gateway.public and not sides.public:
        message = f"{gateway.outside} has no IPv4 address now; nobody is masqueraded until it has"
        yield ("gateway", "outside"), message
    elif gateway.public and not sides.outside:
        message = 'no interface of this machine is in reach of it; name one, outside = "eth0"'
        yield ("gateway", "public"), message
    for index, entry in gateway.inside.items():
        if isinstance(entry, str) and not here.interfaces.get(entry):
            known = entry in here.interfaces
            message = (
                f"{entry} has no IPv4 address"
                if known
                else f"this machine has no interface {entry}"
            )
            yield ("gateway", "inside", index), message
    if gateway.inside and not sides.inside:
        message = "no interface of this machine has an address in it; name the interface as well"
        yield ("gateway", "inside"), message


def _ephemeral(config: Config, here: Surroundings) -> Iterator[Mistake]:
    for key in ("ports", "data_ports"):
        ports = getattr(config.gateway, key)
        if ports and here.ephemeral and overlap(ports, here.ephemeral):
            message = (
                f"{ports} overlaps {here.ephemeral}, from which this host takes the ports of its own"
                " connections (net.ipv4.ip_local_port_range)"
            )
            yield ("gateway", key), message


def _listening(config: Config, here: Surroundings) -> Iterator[Mistake]:
    own = here.own
    for index, table in config.forward.items():
        this = forward(table)
        taken = [
            p
            for protocol, p in sorted(here.listening)
            if protocol == this.protocol and p in this.ports
        ]
        if taken and (this.public is None or this.public in own):
            message = (
                f"this host serves port {taken[0]} itself; from outside it can no longer be reached"
            )
            yield ("forward", index, "port"), message
