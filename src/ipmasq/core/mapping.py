"""Mappings (RFC 4787, 4.1): an inside endpoint and the public one by which it is seen."""

from __future__ import annotations

from ipmasq.core.keys import endpoint_of, source_address
from ipmasq.core.ports import PortPool
from ipmasq.wire.addresses import Address, Endpoint


class Mapping:
    """An inside endpoint <-> a public one, for one protocol. Lives as long as something uses it."""

    __slots__ = ("expectations", "flows", "key", "peers", "pool", "port")

    narrow = False
    """Whether it was promised to one flow, so that nothing else may come in by it."""

    shared = False
    """Whether it is of several inside endpoints, each with another remote one; then it has no `inside`."""

    def __init__(self, key: bytes, pool: PortPool[Mapping], port: int) -> None:
        self.key = key
        """Its protocol and inside endpoint (see `endpoint_key`), then as much of the remote one as matters."""
        self.pool = pool
        self.port = port
        """It holds this one of the pool."""
        self.flows = 0
        self.expectations = 0
        """Expectations that hold it. It lives while it has flows or promises."""
        self.peers: bytes | dict[Address, int] | None = None
        """Remote addresses of its flows, with how many. Most have one: then the `rewrite` of such a flow,
        which begins with it, says it in no memory at all."""

    @property
    def protocol(self) -> int:
        return self.key[0]

    @property
    def inside(self) -> Endpoint:
        return endpoint_of(self.key[: 3 + len(self.pool.address)])

    @property
    def public(self) -> Endpoint:
        return Endpoint(self.pool.address, self.port)

    def has_peer(self, address: Address) -> bool:
        peers = self.peers
        if isinstance(peers, bytes):
            return peers.startswith(address)
        return peers is not None and address in peers

    def add_flow(self, rewrite: bytes) -> None:
        """`rewrite`: with which key the packets of the flow leave that come in by this mapping."""
        peer = source_address(rewrite)
        if self.peers is None:
            self.peers = rewrite
        elif isinstance(self.peers, dict):
            self.peers[peer] = self.peers.get(peer, 0) + 1
        elif not self.has_peer(peer):
            self.peers = {self.peers[: len(peer)]: self.flows, peer: 1}
        self.flows += 1

    def drop_flow(self, rewrite: bytes) -> None:
        """The contrary of `add_flow`."""
        peer = source_address(rewrite)
        self.flows -= 1
        if isinstance(self.peers, dict):
            self.peers[peer] -= 1
            if not self.peers[peer]:
                del self.peers[peer]
        elif not self.flows:
            self.peers = None


class NarrowMapping(Mapping):
    """RFC 6384, 7.2."""

    __slots__ = ()
    narrow = True


class SharedMapping(Mapping):
    """A public port of flows to different remote endpoints (RFC 7857, 3)."""

    __slots__ = ()
    shared = True

    def __init__(self, pool: PortPool[Mapping], port: int) -> None:
        super().__init__(bytes((pool.protocol,)), pool, port)

    def has_peer(self, address: Address) -> bool:
        """Nobody can be let in who has no flow: it would not be known to whom."""
        return False

    def add_flow(self, rewrite: bytes) -> None:
        self.flows += 1

    def drop_flow(self, rewrite: bytes) -> None:
        self.flows -= 1
