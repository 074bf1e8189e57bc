"""Mappings and flows (RFC 2663, RFC 4787).

A flow is two halves, one per direction. A half says which packets are its own and what they become:

    key    source address, destination address, source port, destination port of a packet as it comes in,
           as they stand on the wire: 12 bytes (IPv4) or 36 (IPv6)
    wire   the same fields as they leave

so that finding a flow is one look-up of a slice of the packet, translating it one slice assignment, and
IPv6 needs no second copy of anything (docs/adr/0007). For ICMP echo the query id stands in the place of
the port of the end that asked, and 0 in that of the other.

Every end of a flow has a *real* endpoint (its own) and a *seen* one (what the other end sees).
They differ for an end that is masqueraded.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from ipmasq.core.door import Speaker
from ipmasq.core.policy import Timeouts
from ipmasq.core.ports import PortPool
from ipmasq.core.side import Side
from ipmasq.core.tcp_states import State, timeout
from ipmasq.core.timers import Bucket
from ipmasq.core.watch import Watch
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, Endpoint
from ipmasq.wire.checksum import difference


class End(NamedTuple):
    real: Endpoint
    seen: Endpoint

    @property
    def is_masqueraded(self) -> bool:
        return self.real != self.seen


def pack(source: Endpoint, destination: Endpoint) -> bytes:
    """A key: the fields as they stand in a packet."""
    return (
        source.address
        + destination.address
        + source.port.to_bytes(2, "big")
        + destination.port.to_bytes(2, "big")
    )


def unpack(key: bytes) -> tuple[Endpoint, Endpoint]:
    """`(source, destination)` of a key."""
    size = (len(key) - 4) // 2
    return (
        Endpoint(key[:size], int.from_bytes(key[-4:-2], "big")),
        Endpoint(key[size:-4], int.from_bytes(key[-2:], "big")),
    )


def endpoint_key(protocol: int, endpoint: Endpoint) -> bytes:
    """Protocol, port and address in one small object: there are two of these per mapping."""
    return bytes((protocol, endpoint.port >> 8, endpoint.port & 0xFF)) + endpoint.address


def endpoint_of(key: bytes) -> Endpoint:
    return Endpoint(key[3:], key[1] << 8 | key[2])


class Mapping:
    """An inside endpoint <-> a public one, for one protocol. Lives as long as something uses it."""

    __slots__ = ("flows", "key", "narrow", "peers", "pool", "promises", "public_key")

    def __init__(self, key: bytes, public_key: bytes, pool: PortPool, narrow: bool) -> None:
        self.key = key
        """Its protocol and inside endpoint (see `endpoint_key`), then as much of the remote one as matters."""
        self.public_key = public_key
        self.pool = pool
        self.narrow = narrow
        """It was promised to one flow; nothing else may come in by it (RFC 6384, 7.2)."""
        self.flows = 0
        self.promises = 0
        """Expectations that hold it. It lives while it has flows or promises."""
        self.peers: Address | dict[Address, int] | None = None
        """Remote addresses of its flows. One needs no dictionary, and most have one."""

    @property
    def protocol(self) -> int:
        return self.key[0]

    @property
    def inside(self) -> Endpoint:
        return endpoint_of(self.key[: len(self.public_key)])

    @property
    def public(self) -> Endpoint:
        return endpoint_of(self.public_key)

    def has_peer(self, address: Address) -> bool:
        return address in self.peers if isinstance(self.peers, dict) else address == self.peers

    def add_flow(self, peer: Address) -> None:
        if not self.flows:
            self.peers = peer
        elif self.peers != peer:
            if not isinstance(self.peers, dict):
                self.peers = {self.peers: self.flows} if self.peers else {}
            self.peers[peer] = self.peers.get(peer, 0) + 1
        self.flows += 1

    def drop_flow(self, peer: Address) -> None:
        self.flows -= 1
        if isinstance(self.peers, dict):
            self.peers[peer] -= 1
            if not self.peers[peer]:
                del self.peers[peer]
        elif not self.flows:
            self.peers = None


_SHARED = tuple(range(0x10000))
"""One object per 16-bit number, instead of four per flow."""


class Half:
    """One direction of a flow."""

    __slots__ = (
        "acknowledged",
        "address_difference",
        "bytes",
        "end",
        "flow",
        "key",
        "packets",
        "payload_difference",
        "side",
        "speaker",
        "wire",
    )

    def __init__(self, flow: Flow, speaker: Speaker, side: Side, key: bytes, wire: bytes) -> None:
        self.flow = flow
        self.speaker = speaker
        self.side = side
        """Where its packets come in."""
        self.key = key
        self.wire = wire
        self.packets = 0
        self.bytes = 0
        self.end = 0
        """TCP: the sequence number after the latest segment, as its speaker counts."""
        self.acknowledged = 0
        """TCP: what the listener has acknowledged last, as the speaker counts. A reset stands here, or at `end`."""
        self.address_difference = _SHARED[difference(key[:-4], wire[:-4])]
        """What the addresses add to a checksum's sum; `payload_difference`: addresses and ports."""
        self.payload_difference = _SHARED[difference(key, wire)]

    @property
    def remote(self) -> Address:
        """The address that its packets come from, as the end that receives them sees it."""
        return self.wire[: (len(self.wire) - 4) // 2]


class Flow:
    __slots__ = (
        "back",
        "due",
        "forth",
        "helper",
        "id",
        "links",
        "mapping",
        "master",
        "opened",
        "origin",
        "protocol",
        "released",
        "seen",
        "server_mapping",
        "settled",
        "state",
        "unheard",
        "watch",
    )

    def __init__(
        self,
        id_: int,
        protocol: int,
        client: End,
        server: End,
        sides: tuple[Side, Side],
        now: float,
    ) -> None:
        """`sides`: where client and server are. Raises nothing; the table enters it."""
        self.id = id_
        self.protocol = protocol
        self.forth = Half(
            self,
            Speaker.CLIENT,
            sides[0],
            pack(client.real, server.seen),
            pack(client.seen, server.real),
        )
        self.back = Half(
            self,
            Speaker.SERVER,
            sides[1],
            pack(server.real, client.seen),
            pack(server.seen, client.real),
        )
        self.opened = now
        self.seen = now
        """When a packet of it was last forwarded."""
        self.state = State.INIT if protocol == ipv4.TCP else State.ACTIVE
        self.settled = False
        """Ordinary packets of it need no more thought: both directions were seen, nobody watches."""
        self.due: Bucket[Any] | None = None
        self.mapping: Mapping | None = None
        self.server_mapping: Mapping | None = None
        """The mapping by which the server is reached, if the server is masqueraded by one."""
        self.origin = ""
        self.helper: object | None = None
        self.watch: Watch | None = None
        self.unheard = False
        """A helper waits for a quiet moment to begin to watch it."""
        self.master: Flow | None = None
        """The control flow that it is linked to."""
        self.links = 0
        """Data flows of this control flow that are alive."""
        self.released = 0.0
        """When the last of them ended."""

    @property
    def client(self) -> End:
        return End(unpack(self.forth.key)[0], unpack(self.forth.wire)[0])

    @property
    def server(self) -> End:
        return End(unpack(self.forth.wire)[1], unpack(self.forth.key)[1])

    def end(self, speaker: Speaker) -> End:
        return self.client if speaker is Speaker.CLIENT else self.server

    def half(self, speaker: Speaker) -> Half:
        return self.forth if speaker is Speaker.CLIENT else self.back

    @property
    def opened_by(self) -> Side:
        return self.forth.side

    @property
    def host(self) -> Address:
        """The inside host that it is counted for: the one that opened it, else the published one."""
        end = self.client if self.forth.side is Side.INSIDE else self.server
        return end.real.address

    def deadline(self, timeouts: Timeouts) -> float:
        """When it will be forgotten, as far as is known now."""
        if self.protocol == ipv4.TCP:
            if self.links and self.state is State.ESTABLISHED:
                return inf
            idle = timeout(self.state, timeouts)
        else:
            idle = timeouts.udp if self.protocol == ipv4.UDP else timeouts.icmp
        return max(self.seen, self.released) + idle
