"""Checks that depend on the machine: missing names, and addresses and ports that conflict."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from ipmasq.config.compiled import affordable_flows
from ipmasq.config.directions import default_route, place_of, unrouted
from ipmasq.config.host_state import HostState
from ipmasq.config.mistakes import Mistake, is_outside, overlap
from ipmasq.config.model import Config, GatewayTable
from ipmasq.config.public_ports import public_ports
from ipmasq.config.sides import Sides, resolve
from ipmasq.config.tables import forward, trigger
from ipmasq.config.values import AUTO
from ipmasq.core.policy import without
from ipmasq.wire.addresses import Network, to_text


def collisions(config: Config, here: HostState) -> Iterator[Mistake]:
    """Find what is on both sides: an interface, or public addresses in an inside network, which would be
    ambiguous (RFC 4787 REQ-7). (`mistakes.py` already compares what the file names.)"""
    sides = resolve(config.gateway, here)
    if not config.gateway.outside:  # otherwise it is reported already
        for index, entry in config.gateway.inside.items():
            if entry == sides.outside:
                yield ("gateway", "inside", index), is_outside(entry)
    for address in sides.public:
        for network in sides.networks:
            named = network in config.gateway.inside.values() and config.gateway.public
            if address in network and not named:
                whose = (
                    "the public address" if config.gateway.public else f"{sides.outside}'s address"
                )
                message = f"{whose} {to_text(address)} is in the inside network {network}"
                yield place_of(config, network), message
    yield from _no_port_left(config, here, sides)


def _no_port_left(config: Config, here: HostState, sides: Sides) -> Iterator[Mistake]:
    """Find a range that leaves the host no port. The plane would refuse it: packets to the gateway's own
    public address at these ports are not for the host, so the host's connections must not use them."""
    gateway, ephemeral = config.gateway, here.ephemeral
    own = here.own.intersection(sides.public)
    if ephemeral is None or not own:
        return
    taken = list(public_ports(gateway, here).ranges)
    taken += gateway.data_ports.ranges if gateway.data_ports else ()
    published = map(forward, config.forward.values())
    taken += [each.ports for each in published if each.public is None or each.public in own]
    taken += [trigger(table).opens_ports for table in config.trigger.values()]
    if not without(ephemeral, taken):
        message = (
            f"no port of {ephemeral} is left for this host's own connections"
            " (net.ipv4.ip_local_port_range); keep some of them out of it"
        )
        yield ("gateway", "ports"), message


def inaccessible(config: Config, here: HostState) -> Iterator[Mistake]:
    """Find a control socket, a translation log or a key that cannot be opened, before traffic is diverted."""
    control = config.control
    for setting, message in here.access(control.socket, control.group):
        yield ("control", setting), message
    for setting, message in here.access(control.view_socket, control.view_group):
        yield ("control", f"view_{setting}"), message
    file = config.translation_log.file
    if file is not None and (wrong := here.writable(str(file))):
        yield ("translation_log", "file"), wrong
    key = config.ha.key_file
    if key is not None and (wrong := here.readable(key)):
        yield ("ha", "key_file"), wrong


def local_doubts(config: Config, here: HostState) -> Iterator[Mistake]:
    sides = resolve(config.gateway, here)
    yield from interfaces_in_doubt(config, here, sides)
    yield from default_route(config, here, sides)
    yield from unrouted(config, here, sides)
    yield from ephemeral_in_doubt(config, here)
    yield from listening_in_doubt(config, here)
    yield from memory_in_doubt(config, here)


def memory_in_doubt(config: Config, here: HostState) -> Iterator[Mistake]:
    """Find limits for which there may be too little memory."""
    flows, most = config.limits.flows, affordable_flows(here.memory)
    if flows is not None and flows > most:
        message = (
            f"{flows:,} flows could take more than half of the {here.memory >> 20:,} MB of memory that this"
            f" gateway may have; {most:,} would not"
        )
        yield ("limits", "flows"), message


def absent_outside(config: Config, here: HostState) -> Iterator[Mistake]:
    """An outside interface that this machine does not have: no gateway can start."""
    outside = config.gateway.outside
    if outside and outside not in here.interfaces:
        yield ("gateway", "outside"), lacking(outside, here)


def absent_inside(config: Config, here: HostState) -> Iterator[Mistake]:
    """Inside interfaces that this machine does not have."""
    for index, entry in config.gateway.inside.items():
        if isinstance(entry, str) and entry not in here.interfaces:
            yield ("gateway", "inside", index), lacking(entry, here)


def interfaces_in_doubt(config: Config, here: HostState, sides: Sides) -> Iterator[Mistake]:
    """Find interfaces that lack addresses, and networks that no interface leads to."""
    gateway = config.gateway
    if gateway.outside == "lo":
        message = (
            "is the loopback interface: nobody can be reached by it; name the one to the others"
        )
        yield ("gateway", "outside"), message
    elif gateway.outside in here.interfaces and not gateway.public and not sides.public:
        message = f"{gateway.outside} has no IPv4 address now; nobody is masqueraded until it has"
        yield ("gateway", "outside"), message
    elif gateway.public and not sides.outside:
        yield ("gateway", "public"), UNREACHED
    for index, entry in gateway.inside.items():
        if isinstance(entry, str) and here.interfaces.get(entry) == ():
            yield ("gateway", "inside", index), f"{entry} has no IPv4 address"
    if not sides.inside and sides.outside not in gateway.inside.values():
        yield from _unreachable_inside(gateway, here, sides)


def _unreachable_inside(gateway: GatewayTable, here: HostState, sides: Sides) -> Iterator[Mistake]:
    own = here.interfaces.get(sides.outside or "", ())
    for index, entry in gateway.inside.items():
        whose = "no interface of this machine has"
        if isinstance(entry, Network) and any(each.address in entry for each in own):
            whose = f"only {sides.outside}, the outside interface, has"
        message = f"{whose} an address in it; name the inside interface as well"
        yield ("gateway", "inside", index), message


UNREACHED = 'no interface of this machine is in reach of it; name one, outside = "eth0"'


def lacking(interface: str, here: HostState) -> str:
    """Say that there is no such interface, and which exist."""
    names = [name for name in here.interfaces if name != "lo"]
    close = get_close_matches(interface.lower(), names, n=1) or [
        name
        for name in names
        if interface.startswith(f"{name}@")  # as `ip link` shows it
    ]
    advice = f'did you mean "{close[0]}"?' if close else f"it has {', '.join(names) or 'none'}"
    return f"this machine has no interface {interface}; {advice}"


def ephemeral_in_doubt(config: Config, here: HostState) -> Iterator[Mistake]:
    """Find ranges that the host uses for connections of its own."""
    for key in ("ports", "data_ports"):
        ports = getattr(config.gateway, key)
        if ports in (None, AUTO) or here.ephemeral is None:
            continue
        for each in (each for each in ports.ranges if overlap(each, here.ephemeral)):
            message = (
                f"{each} overlaps {here.ephemeral}, from which this host takes the ports of its own"
                " connections (net.ipv4.ip_local_port_range)"
            )
            yield ("gateway", key), message


def listening_in_doubt(config: Config, here: HostState) -> Iterator[Mistake]:
    """Find forwards that take packets for which the host has a socket: one that is bound to the public address
    or to every address, and to no other interface."""
    sides = resolve(config.gateway, here)
    for index, table in config.forward.items():
        this = forward(table)
        for address in (this.public,) if this.public else sides.public:
            if address in here.own:
                port = here.served(this.protocol, address, this.ports, sides.outside or "")
                if port is not None:
                    message = f"this host serves port {port} itself; from outside it can no longer be reached"
                    yield ("forward", index, "port"), message
                    break
