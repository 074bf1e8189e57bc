"""The interfaces by which the gateway's packets pass the forward hook.

With the programs for it (`Where.once`), packets pass the hook as they would if the kernel translated them, with
the inside host's own address: inside interface -> outside interface, and back. Otherwise they pass it twice:

    inside interface -> ipmasq-in          ipmasq-in -> outside interface
    outside interface -> ipmasq-out        ipmasq-out -> inside interface

Packets of inside hosts to a public address of a published server (hairpinning, RFC 4787 section 6) pass twice in
any case: inside interface -> ipmasq-in, with the public address as destination, then
ipmasq-in -> inside interface, with the public address as source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ipmasq.core.policy import Forward
from ipmasq.core.side import Side
from ipmasq.core.views import Passage
from ipmasq.planes.tun.steering import DEVICE
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, Endpoint, to_text

UP, DOWN = DEVICE[Side.INSIDE], DEVICE[Side.OUTSIDE]
NAMES = {ipv4.ICMP: "icmp", ipv4.TCP: "tcp", ipv4.UDP: "udp"}
NEW, RELATED, ESTABLISHED = "new", "related", "established"


@dataclass(frozen=True, slots=True)
class Where:
    """The interfaces of the gateway, and what it admits there."""

    outside: str
    inside: tuple[str, ...]
    networks: tuple[str, ...] = ()
    """The networks of inside hosts."""
    once: bool = False
    """Whether packets pass once; `able`: whether they could."""
    able: bool = False
    forwards: bool = False
    """Whether servers are published."""
    answers: bool = False
    """Whether the public address is one of the host's own, so that the host answers pings to it."""
    renamed: bool = False
    """Whether packets from outside that are returned to the host come in by `ipmasq-out`."""


class Purpose(Enum):
    """The kind of connection, by the sides of its client and server."""

    OUTGOING = Side.INSIDE, Side.OUTSIDE
    PUBLISHED = Side.OUTSIDE, Side.INSIDE
    HAIRPIN = Side.INSIDE, Side.INSIDE
    PING = Side.INSIDE, None
    """From an inside host to the public address, which the host itself answers."""


SAID = {
    Purpose.OUTGOING: "new",
    Purpose.PUBLISHED: "new",
    Purpose.HAIRPIN: "new, from inside hosts to a public address",
    Purpose.PING: "pings of inside hosts to the public address",
}


class Way(NamedTuple):
    iif: str
    oif: str
    state: str
    purpose: Purpose
    source: str = ""
    """Which address a packet has as its source there: the name of a field of `Ends`."""
    target: str = ""
    protocol: str = ""
    """The protocol, if only packets of this one pass so."""

    def __str__(self) -> str:
        said = f"{self.iif} -> {self.oif}"
        return said if self.state == ESTABLISHED else f"{said} ({SAID[self.purpose]})"


@dataclass(frozen=True, slots=True)
class Ends:
    """What is known of a flow; flows in general have no known address."""

    protocol: str = "tcp"
    client: Endpoint | None = None
    public: Endpoint | None = None
    """The endpoint that a client uses for a published server."""
    server: Endpoint | None = None

    @classmethod
    def of(cls, passage: Passage) -> Ends:
        return cls(_protocol(passage.protocol), passage.client, passage.public, passage.server)

    @classmethod
    def to(cls, forward: Forward) -> Ends:
        """Return what is known of any connection to this published server."""
        port, inside_port = forward.ports.low, forward.inside_port
        if forward.ports.high != port:  # a single port of several is not known
            port = inside_port = 0
        public = Endpoint(forward.public or b"", port)  # any public address if it names none
        server = Endpoint(forward.inside, inside_port)
        return cls(_protocol(forward.protocol), None, public, server)

    def facts(self, way: Way) -> dict[str, str]:
        """Return the facts of the first packet that passes this way."""
        source, target = (
            getattr(self, name) if name else None for name in (way.source, way.target)
        )
        found = {"proto": way.protocol or self.protocol}
        if source is not None and source.address:
            found["saddr"] = to_text(source.address)
        if target is not None:
            found |= {"daddr": to_text(target.address)} if target.address else {}
            found |= {"dport": str(target.port)} if target.port else {}
        return found


def at(iif: str, oif: str, state: str) -> dict[str, str]:
    """Return the facts of any packet that passes there."""
    return {"iif": iif, "oif": oif, "state": state, "status": "confirmed", "nfproto": "ipv4"}


def _protocol(number: int) -> str:
    return NAMES.get(number, str(number))


def ways(where: Where) -> tuple[Way, ...]:
    """Return the ways of all flows: first of connections from inside, then of those to published servers."""
    found = [way for inside in where.inside for way in outgoing(where, inside)]
    if where.forwards:
        found += [way for inside in where.inside for way in published(where, inside)]
        found += [way for inside in where.inside for way in hairpin(inside, inside)]
    if where.answers:
        found += [way for inside in where.inside for way in ping(inside)]
    return tuple(dict.fromkeys(found))


def outgoing(where: Where, inside: str) -> Iterator[Way]:
    """Yield the ways of connections from an inside interface to the outside one."""
    purpose = Purpose.OUTGOING
    if where.once:
        yield Way(inside, where.outside, NEW, purpose, "client", "server")
        yield Way(where.outside, inside, ESTABLISHED, purpose)
        return
    yield Way(inside, UP, NEW, purpose, "client", "server")
    yield Way(DOWN, inside, ESTABLISHED, purpose)
    yield Way(UP, where.outside, NEW, purpose, "", "server")
    yield Way(where.outside, DOWN, ESTABLISHED, purpose)


def published(where: Where, inside: str) -> Iterator[Way]:
    """Yield the ways of connections from outside to a server behind an inside interface."""
    purpose = Purpose.PUBLISHED
    if where.once:
        yield Way(where.outside, inside, NEW, purpose, "client", "server")
        yield Way(inside, where.outside, ESTABLISHED, purpose)
        return
    yield Way(DOWN, inside, NEW, purpose, "client", "server")
    yield Way(where.outside, DOWN, NEW, purpose, "client", "public")
    yield Way(inside, UP, ESTABLISHED, purpose)
    yield Way(UP, where.outside, ESTABLISHED, purpose)


def hairpin(entered: str, left: str) -> Iterator[Way]:
    """Yield the ways of connections from an inside interface, by the public address, to a server behind an
    inside interface."""
    yield Way(entered, UP, NEW, Purpose.HAIRPIN, "client", "public")
    yield Way(UP, left, NEW, Purpose.HAIRPIN, "", "server")
    yield Way(left, UP, ESTABLISHED, Purpose.HAIRPIN)
    yield Way(UP, entered, ESTABLISHED, Purpose.HAIRPIN)


def ping(entered: str) -> Iterator[Way]:
    """Yield the way of pings from an inside interface to the public address. At the input hook they come from
    `ipmasq-in`."""
    yield Way(entered, UP, NEW, Purpose.PING, "client", "public", "icmp")


def of_forward(
    forward: Forward, where: Where, interface_to: Callable[[Address], str | None]
) -> tuple[Way, ...]:
    """Return the ways of connections to one published server."""
    left = inside_interface(forward.inside, where, interface_to)
    found = [*published(where, left)]
    found += [way for entered in where.inside for way in hairpin(entered, left)]
    return tuple(found)


def passed(
    passage: Passage, where: Where, interface_to: Callable[[Address], str | None]
) -> tuple[Way, ...]:
    """Return the ways of one flow. `interface_to` returns the interface by which an address is reached."""
    entered, left = (
        inside_interface(end.address, where, interface_to)
        for end in (passage.client, passage.server)
    )
    match Purpose(passage.sides):
        case Purpose.OUTGOING:
            found = outgoing(where, entered)
        case Purpose.PUBLISHED:
            found = published(where, left)
        case Purpose.HAIRPIN:
            found = hairpin(entered, left)
        case Purpose.PING:
            found = ping(entered)
    if passage.expected:
        return tuple(way._replace(state=RELATED) if way.state == NEW else way for way in found)
    return tuple(found)


def inside_interface(
    address: Address, where: Where, interface_to: Callable[[Address], str | None]
) -> str:
    """Return the only inside interface, or the one that leads to the address."""
    if len(where.inside) == 1:
        return where.inside[0]
    return interface_to(address) or ""
