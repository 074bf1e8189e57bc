"""Mappings (RFC 4787, 4.1): an inside endpoint and the public endpoint by which outside hosts see it."""

from __future__ import annotations

from ipmasq.core.keys import endpoint_of, source_address
from ipmasq.core.plain import Fields
from ipmasq.core.ports import PortPool, SharedPool
from ipmasq.wire.addresses import Address, Endpoint


class Mapping:
    """A mapping between an inside endpoint and a public one, for one protocol. It lives as long as a flow or
    an expectation uses it."""

    __slots__ = ("expectations", "flows", "key", "peers", "pool", "port")

    narrow = False
    """Whether it was made for one expected flow, so that no other may come in by it."""

    shared = False
    """Whether several inside endpoints share it, each with another remote endpoint; then it has no `inside`."""

    def __init__(self, key: bytes, pool: PortPool[Mapping], port: int) -> None:
        self.key = key
        """The protocol and inside endpoint (see `endpoint_key`), then as much of the remote endpoint as
        matters."""
        self.pool = pool
        self.port = port
        """The port of the pool that it holds."""
        self.flows = 0
        self.expectations = 0
        """The number of expectations that hold it. It lives while it has flows or expectations."""
        self.peers: bytes | dict[Address, int] | None = None
        """Remote addresses of its flows, with their numbers. Most mappings have one: then this is the
        `rewrite` of such a flow, which begins with the address and needs no further memory."""

    @classmethod
    def from_state(cls, state: Fields, pool: PortPool[Mapping], port: int) -> Mapping:
        """Return the mapping at a port of a state, which is its key and whether it is narrow, without flows. Raises
        StateError."""
        key = state.blob(0)
        if port not in pool.ports:
            raise state.error(0, f"port {port} is not of its pool")
        if isinstance(pool, SharedPool):
            return SharedMapping(pool, port)
        if len(key) < 3 + len(pool.address) or key[0] != pool.protocol:
            raise state.error(0, "is not of its pool")
        return (NarrowMapping if state.boolean(1) else Mapping)(key, pool, port)

    @property
    def number(self) -> int:
        """The key of its record: the number of its pool in the high bits, and its port."""
        return self.pool.number << 16 | self.port

    @property
    def protocol(self) -> int:
        return self.key[0]

    @property
    def inside(self) -> Endpoint:
        return endpoint_of(self.key[: 3 + len(self.pool.address)])

    @property
    def host(self) -> tuple[int, Address]:
        """Its protocol and inside host, for which mappings are counted."""
        return self.key[0], self.key[3 : 3 + len(self.pool.address)]

    @property
    def public(self) -> Endpoint:
        return Endpoint(self.pool.address, self.port)

    def has_peer(self, address: Address) -> bool:
        peers = self.peers
        if isinstance(peers, bytes):
            return peers.startswith(address)
        return peers is not None and address in peers

    def add_flow(self, rewrite: bytes) -> None:
        """Add a flow whose packets come in by this mapping and leave with the key `rewrite`."""
        peer = source_address(rewrite)
        if self.peers is None:
            self.peers = rewrite
        elif isinstance(self.peers, dict):
            self.peers[peer] = self.peers.get(peer, 0) + 1
        elif not self.has_peer(peer):
            self.peers = {self.peers[: len(peer)]: self.flows, peer: 1}
        self.flows += 1

    def drop_flow(self, rewrite: bytes) -> None:
        """Remove a flow that `add_flow` has added."""
        peer = source_address(rewrite)
        self.flows -= 1
        if isinstance(self.peers, dict):
            self.peers[peer] -= 1
            if not self.peers[peer]:
                del self.peers[peer]
        elif not self.flows:
            self.peers = None


class NarrowMapping(Mapping):
    """A mapping for one expected flow (RFC 6384, 7.2)."""

    __slots__ = ()
    narrow = True


class SharedMapping(Mapping):
    """A public port of flows to different remote endpoints (RFC 7857, 3)."""

    __slots__ = ()
    shared = True

    def __init__(self, pool: PortPool[Mapping], port: int) -> None:
        super().__init__(bytes((pool.protocol,)), pool, port)

    def has_peer(self, address: Address) -> bool:
        """Return False: it would not be known to which inside host a packet without a flow belongs."""
        return False

    def add_flow(self, rewrite: bytes) -> None:
        self.flows += 1

    def drop_flow(self, rewrite: bytes) -> None:
        self.flows -= 1
