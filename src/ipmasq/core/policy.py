"""The compiled policy: everything that the engine needs to decide, fully resolved.

Configuration is compiled into these values (`ipmasq.config`); the engine never sees a name to resolve, a
default or an optional number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from ipmasq.core.helper import Helper
from ipmasq.wire.addresses import Address, Endpoint, Network, within

ANY_PROTOCOL = 0


class Behaviour(IntEnum):
    """How much of the remote endpoint matters, for mapping and for filtering (RFC 4787, 4.1 and 5)."""

    ENDPOINT_INDEPENDENT = 0
    ADDRESS_DEPENDENT = 1
    ADDRESS_AND_PORT_DEPENDENT = 2


class Action(IntEnum):
    MASQUERADE = 0
    PASS = 1
    DROP = 2


class OnFailure(IntEnum):
    """The action for a flow whose helper raised or refused."""

    PASS = 0
    DROP = 1


class PortRange(NamedTuple):
    """Ports `low` to `high`, both included."""

    low: int
    high: int

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.low <= port <= self.high

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"

    @property
    def ranges(self) -> tuple[PortRange, ...]:
        """The range itself, if it is not empty."""
        return (self,) if self.low <= self.high else ()

    @property
    def size(self) -> int:
        """The number of ports."""
        return max(0, self.high - self.low + 1)


ALL_PORTS = PortRange(0, 65535)
NO_PORTS = PortRange(1, 0)


@dataclass(frozen=True, slots=True)
class PortSet:
    """Ports of several ranges: sorted, disjoint and not adjacent, none empty. Made by `port_set`."""

    ranges: tuple[PortRange, ...]

    def __contains__(self, port: object) -> bool:
        return any(port in each for each in self.ranges)

    def __str__(self) -> str:
        return ", ".join(map(str, self.ranges))

    @property
    def low(self) -> int:
        return self.ranges[0].low

    @property
    def high(self) -> int:
        return self.ranges[-1].high

    @property
    def size(self) -> int:
        """The number of ports."""
        return sum(each.size for each in self.ranges)


Ports: TypeAlias = PortRange | PortSet
"""Ports that are allocated to mappings."""


def port_set(ranges: Iterable[PortRange]) -> Ports:
    """Return the union of these ranges."""
    found = merged(ranges)
    if len(found) > 1:
        return PortSet(found)
    return found[0] if found else NO_PORTS


def merged(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """Return the same ports as sorted ranges; ranges that touch or overlap are merged, and empty ones are
    omitted."""
    result: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if low > high:
            continue
        if result and low <= result[-1][1] + 1:
            result[-1] = result[-1][0], max(high, result[-1][1])
        else:
            result.append((low, high))
    return tuple(PortRange(low, high) for low, high in result)


def port_list(text: str) -> tuple[PortRange, ...]:
    """Parse ranges as the kernel writes them, `8080,9148-9150`. Raises ValueError."""
    parts = (word.partition("-") for word in text.replace(",", " ").split())
    return tuple(PortRange(int(low), int(high or low)) for low, _, high in parts)


def without(whole: PortRange, taken: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """Return the ports of `whole` that are in none of `taken`, as sorted ranges."""
    left, start = [], whole.low
    for low, high in merged(taken):
        left.append(PortRange(start, min(low - 1, whole.high)))
        start = max(start, high + 1)
    left.append(PortRange(start, whole.high))
    return tuple(each for each in left if each.size)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for flows that inside hosts open; the first rule that matches decides.

    Empty `source` or `destination` means any. `protocol` is an IP protocol number or ANY_PROTOCOL; ports are
    only compared for TCP and UDP. `text` is the form for people.
    """

    action: Action
    source: tuple[Network, ...] = ()
    destination: tuple[Network, ...] = ()
    protocol: int = ANY_PROTOCOL
    source_ports: tuple[PortRange, ...] = (ALL_PORTS,)
    destination_ports: tuple[PortRange, ...] = (ALL_PORTS,)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Forward:
    """A published server: `protocol` `public` port p goes to `inside` port `inside_port + (p - ports.low)`.

    `public` is None for every public address of the gateway.
    """

    name: str
    protocol: int
    public: Address | None
    ports: PortRange
    inside: Address
    inside_port: int

    def covers(self, protocol: int, public: Endpoint) -> bool:
        """Return whether flows to this public endpoint go to the server."""
        return (
            self.protocol == protocol
            and self.public in (None, public.address)
            and public.port in self.ports
        )

    def inward(self, port: int) -> Endpoint:
        """Return the inside endpoint for this public port."""
        return Endpoint(self.inside, self.inside_port + port - self.ports.low)

    def outward(self, protocol: int, inside: Endpoint, public: Address) -> Endpoint | None:
        """Return the endpoint at a public address where this inside endpoint is published, or None."""
        if self.protocol != protocol or self.inside != inside.address:
            return None
        if inside.port not in self.inside_ports or self.public not in (None, public):
            return None
        return Endpoint(public, self.ports.low + inside.port - self.inside_port)

    @property
    def inside_ports(self) -> PortRange:
        return PortRange(self.inside_port, self.inside_port + self.ports.high - self.ports.low)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger: an inside host that opens a flow to `protocol` `ports` gets `opens_ports` from outside for
    `life` seconds, counted anew by each flow that matches or uses it."""

    name: str
    protocol: int
    ports: PortRange
    opens_protocol: int
    opens_ports: PortRange
    life: float


@dataclass(frozen=True, slots=True)
class HelperUse:
    """A helper and its settings."""

    name: str
    make: Callable[[], Helper]
    protocol: int
    ports: frozenset[int]
    """The server's ports, real or public."""
    orthogonal: bool
    on_failure: OnFailure = OnFailure.PASS
    expectations_per_flow: int = 4
    """The most expectations of a flow at the same time; a new one replaces the oldest."""
    expectations_per_host: int = 64
    """The most expectations at the same time over all flows that one address has opened; a further one is
    refused."""
    expectation_life: float = 300.0
    """Seconds within which an expected flow must arrive (RFC 6384, 12: at least 30)."""
    source_ports: frozenset[int] = frozenset()
    """Source ports of inside clients that bind the helper as well."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Idle times in seconds (RFC 5382 REQ-5, RFC 4787 REQ-5, RFC 5508 REQ-2, RFC 7857 2.1)."""

    tcp_established: float = 7440.0
    tcp_opening: float = 240.0
    tcp_closing: float = 240.0
    udp: float = 300.0
    icmp: float = 60.0
    fragment: float = 15.0
    udp_ports: Mapping[int, float] = field(default_factory=dict)
    """Idle times of UDP by the server's port, where they differ (RFC 4787 REQ-5a)."""

    def of_datagrams(self, port: int) -> float:
        """Return the idle time of UDP flows to this port of a server."""
        return self.udp_ports.get(port, self.udp) if self.udp_ports else self.udp


@dataclass(frozen=True, slots=True)
class Limits:
    flows: int = 1_000_000
    flows_per_host: int = 65_536
    ports_per_host: int = 3_072
    """Public ports of one protocol, including those of expected flows."""
    fragmented_datagrams: int = 256
    """Datagrams of one side that are reassembled at the same time."""
    stream_bytes: int = 262_144
    """Bytes kept per direction of an inspected stream: unacknowledged, or waiting for a gap to be filled."""
    stream_memory: int = 256 << 20
    """Bytes kept for all inspected streams together."""
    stream_memory_per_host: int = 32 << 20
    """Bytes kept for the inspected streams that one address has opened."""
    lines: int = 20_000
    """Lines per second that helpers inspect, of all hosts together; one that announces a flow counts as ten."""
    lines_per_host: int = 5_000
    """Lines per second that helpers inspect in connections that one address has opened."""
    # Packets per second that a fast path leaves to the engine:
    tracked_pps_per_host: int = 20_000
    """Packets of the flows of an inside host, in each direction."""
    untracked_pps_per_host: int = 5_000
    """Packets that belong to no flow, from an inside host."""
    untracked_pps_per_side: int = 10_000
    """Packets that belong to no flow, from all hosts of one side."""
    # Answers per second to packets from inside that are refused:
    icmp_errors: int = 1_000
    icmp_errors_per_host: int = 20
    resets: int = 2_000
    resets_per_host: int = 200


class Share(NamedTuple):
    """What one member of a group of gateways serves at a time."""

    name: str
    public: tuple[Address, ...]
    """No other share has any of these addresses."""
    inside: tuple[Network, ...]
    """The hosts that are masqueraded to them, and no others."""


PORT_HOLD = 120.0
"""RFC 6888, REQ-8."""


@dataclass(frozen=True, slots=True)
class Policy:
    inside: tuple[Network, ...]
    """Networks whose hosts are masqueraded."""
    public: tuple[Address, ...]
    """Addresses to which they are masqueraded; at least one, unless the outside interface has none now."""
    own: frozenset[Address] = frozenset()
    """Addresses of the gateway host itself (inside and outside)."""
    ports: Ports = PortRange(61000, 65095)
    data_ports: Ports | None = None
    """Public ports for expected flows; None means those of `ports`."""
    mapping: Behaviour = Behaviour.ENDPOINT_INDEPENDENT
    filtering: Behaviour = Behaviour.ADDRESS_DEPENDENT
    port_hold: float = PORT_HOLD
    """Seconds after a loss of all state in which a mapping admits nobody to whom its host has not sent (RFC 6888, REQ-8)."""
    rules: tuple[Rule, ...] = ()
    default_action: Action = Action.MASQUERADE
    forwards: tuple[Forward, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    helpers: tuple[HelperUse, ...] = ()
    icmp_errors: bool = True
    """Whether inside hosts get an ICMP error when a flow cannot be opened."""
    resets: bool = True
    """Whether TCP segments from inside that belong to no flow are answered by a reset."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    ttl_delta: int = -1
    """What is added to a forwarded packet's time to live: -1 where the engine is the router; +1 on a plane
    where the kernel counts the hop twice (in and out of a TUN device)."""
    shares: tuple[Share, ...] = ()
    """How hosts and public addresses are divided among the members of a group; empty if they are not. In a divided
    group `public` has the addresses of those shares only that are served here."""
    elsewhere: tuple[Address, ...] = ()
    """The public addresses of the shares that other members serve: packets to them must not reach the host."""

    def serving(self, names: Collection[str]) -> Policy:
        """Return the policy of a member that serves the shares of these names."""
        if not self.shares:
            return self
        served = tuple(a for each in self.shares if each.name in names for a in each.public)
        others = tuple(a for each in self.shares if each.name not in names for a in each.public)
        return replace(self, public=served, elsewhere=others)

    def share_of(self, host: Address) -> Share | None:
        """Return the share to which an inside host belongs."""
        return next((each for each in self.shares if within(host, each.inside)), None)

    def addresses_for(self, host: Address) -> tuple[Address, ...]:
        """Return the public addresses that an inside host may have; none if it is not served here."""
        if not self.shares:
            return self.public
        share = self.share_of(host)
        return share.public if share and share.public[0] in self.public else ()

    def publishes(self, protocol: int, public: Endpoint) -> bool:
        """Return whether a forward or a trigger can lead from this public endpoint to an inside host."""
        for forward in self.forwards:
            if forward.covers(protocol, public):
                return True
        for trigger in self.triggers:
            if trigger.opens_protocol == protocol and public.port in trigger.opens_ports:
                return True
        return False


class Claim(NamedTuple):
    """Packets that a plane must bring to the engine although they are addressed to the host itself:
    `protocol` to `address`, ports within `ports` (for ICMP: all)."""

    protocol: int
    address: Address
    ports: PortRange
