"""Which connections are open, and which one is closed when there are too many.

A connection is a stranger's until a request of a known client has come on it. Strangers have a share of the places, and
in it each address one of its own; a new connection takes the place of the oldest one. So whoever holds idle connections
displaces his own, and a browser has the time to send its request. Known clients have the other places.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Protocol

MOST_CONNECTIONS = 128

MOST_STRANGERS = 48
"""Of these, the most on which no request of a known client has come,"""

MOST_PER_ADDRESS = 32
"""and of these, the most of one address (of IPv6, of one /64: RFC 4291, 2.5.4)."""

logger = logging.getLogger("ipmasq.web")


class Connection(Protocol):
    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""

    def abort(self) -> None: ...


class Connections:
    def __init__(self) -> None:
        self._strangers: OrderedDict[Connection, str] = OrderedDict()
        self._known: OrderedDict[Connection, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def add(self, connection: Connection, address: str) -> None:
        """Take a new connection, and close another one if there are too many of its kind."""
        self._strangers[connection] = _network(address)
        held = Counter(self._strangers.values())
        network, most = held.most_common(1)[0]
        if most > MOST_PER_ADDRESS or len(self._strangers) > MOST_STRANGERS:
            logger.warning(
                "connections on which no token came were closed, as there were too many: %d of %s",
                *(most, network),
            )
            oldest = next(each for each, its in self._strangers.items() if its == network)
            self._close(oldest)

    def admit(self, connection: Connection) -> bool:
        """Count a connection as one of a known client. Return whether there is room for it."""
        if connection not in self._strangers:
            return connection in self._known
        if len(self._known) >= MOST_CONNECTIONS - MOST_STRANGERS:
            idle = next((each for each in self._known if each.is_idle), None)
            if idle is None:
                return False
            self._close(idle)
        del self._strangers[connection]
        self._known[connection] = None
        return True

    def remove(self, connection: Connection) -> None:
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)

    def _close(self, connection: Connection) -> None:
        self.remove(connection)
        connection.abort()


def _network(address: str) -> str:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(IPv6Address(int(found) >> 64 << 64))
    return str(found)
