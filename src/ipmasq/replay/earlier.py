"""Connections that began before their capture did. The gateway would have known their flows; a replay cannot."""

from __future__ import annotations

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.reasons import Reason
from ipmasq.wire import ipv4, tcp
from ipmasq.wire.addresses import Address, Endpoint
from ipmasq.wire.endpoints import ends

UNKNOWN = (
    "the capture begins later than this connection, or than one that may have announced it, so it does not show what"
    " the gateway does with it"
)

WITHOUT_FLOW = (Reason.NO_FLOW, Reason.NO_MAPPING, Reason.UNSOLICITED)
"""Why a segment is dropped that belongs to no flow."""

Ends = frozenset[Endpoint]


class Earlier:
    def __init__(self) -> None:
        self._begun: set[Ends] = set()
        """TCP connections whose first segment was captured."""
        self._hosts: set[frozenset[Address]] = set()
        """The hosts of earlier connections, any of which may have announced another one."""

    def learn(self, event: Event) -> None:
        """Follow an event of the engine."""
        if isinstance(event, events.FlowOpened) and event.protocol == ipv4.TCP:
            self._begun.add(frozenset((event.inside, event.remote)))
            self._begun.add(frozenset((event.public, event.remote_real)))

    def has(self, packet: bytes, reason: Reason) -> bool:
        """Return whether a packet, which was decided for this reason, is one of an earlier connection."""
        ends_ = connection(packet)
        if ends_ is None:
            return False
        hosts = frozenset(end.address for end in ends_)
        is_unknown = reason in WITHOUT_FLOW and ends_ not in self._begun
        if _opens(packet) and not (is_unknown and hosts in self._hosts):
            self._begun.add(ends_)
            return False
        if is_unknown:
            self._hosts.add(hosts)
        return is_unknown


def connection(packet: bytes) -> Ends | None:
    """Return both ends of a TCP segment, in no order; None for other packets."""
    tuple_ = ends(packet)
    return frozenset(tuple_[1:]) if tuple_ and tuple_[0] == ipv4.TCP else None


def _opens(packet: bytes) -> bool:
    header = ipv4.read(packet)
    if header is None or header.offset:
        return False
    segment = tcp.read(memoryview(packet)[header.length : header.total])
    return segment is not None and segment.flags & (tcp.SYN | tcp.ACK) == tcp.SYN
