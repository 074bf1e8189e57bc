"""Which public ports must not be given out although their pool has them."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TypeAlias

from ipmasq.core.host import HostPorts
from ipmasq.core.mapping import Mapping
from ipmasq.core.policy import Policy
from ipmasq.core.ports import PortPool
from ipmasq.wire.addresses import Address, Endpoint

MOST_ASKED = 32
"""Ports of the host's own that are passed over to find one for a flow."""

MappingAt: TypeAlias = Callable[[int, Endpoint], Mapping | None]
"""The mapping of a protocol and public endpoint."""


class Barred(Container[int]):
    """Ports of one public address that a new flow must not get: a socket of the host is there, they are
    forwarded, a trigger opens them, or a mapping of an earlier policy or of an overlapping range holds them."""

    def __init__(
        self,
        policy: Policy,
        host: HostPorts,
        mapping_at: MappingAt,
        protocol: int,
        address: Address,
        remote: Endpoint,
        sharing: PortPool[Mapping] | None = None,
    ) -> None:
        """`remote`: where the flow goes that needs the port. A socket that is connected to another endpoint
        is not in its way. `sharing`: mappings of this pool are not either."""
        self._policy, self._host, self._mapping_at = policy, host, mapping_at
        self._protocol, self._address = protocol, address
        self._remote, self._sharing = remote, sharing
        self._asked = 0

    def __contains__(self, port: object) -> bool:
        assert isinstance(port, int)
        protocol, public = self._protocol, Endpoint(self._address, port)
        return (
            (protocol, port) in self._host.reserved
            or self._is_mapped(public)
            or self._policy.publishes(protocol, public)
            or (self._address in self._policy.own and self._is_the_hosts(public))
        )

    def _is_the_hosts(self, public: Endpoint) -> bool:
        """Whether the host has a socket there. Of a host that has one on nearly every port, not all are asked
        about for each flow: any user of the host can open that many."""
        if self._asked >= MOST_ASKED:
            return False
        held = self._host.find_socket(self._protocol, self._remote, public)
        self._asked += held > 0
        return held > 0

    def _is_mapped(self, public: Endpoint) -> bool:
        mapping = self._mapping_at(self._protocol, public)
        return mapping is not None and mapping.pool is not self._sharing
