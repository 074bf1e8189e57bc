"""The ends of a flow (RFC 2663): each has a *real* endpoint, its own, and a *translated* one, which the other end
sees. They differ for a masqueraded end.
"""

from __future__ import annotations

from typing import NamedTuple

from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint


class End(NamedTuple):
    real: Endpoint
    translated: Endpoint

    @property
    def is_masqueraded(self) -> bool:
        return self.real != self.translated


class Ends(NamedTuple):
    """Both ends of a flow."""

    client: End
    server: End


class Endpoints(NamedTuple):
    """The ends of a flow, whichever side opened it."""

    inside: Endpoint
    public: Endpoint
    """The inside end as the remote one sees it."""
    remote: Endpoint
    remote_real: Endpoint
    """The remote end as it sees itself. It differs from `remote` if that end is masqueraded, too, as in a
    hairpin flow, whose remote end is inside."""


def endpoints(ends: Ends, opened_by: Side) -> Endpoints:
    """Return the endpoints of a flow that was opened from this side."""
    client, server = ends
    if opened_by is Side.INSIDE:
        return Endpoints(client.real, client.translated, server.translated, server.real)
    return Endpoints(server.real, server.translated, client.real, client.real)
