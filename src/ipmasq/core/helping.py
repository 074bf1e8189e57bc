"""Decides which helper inspects which flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ipmasq.core.ends import End
from ipmasq.core.policy import HelperUse
from ipmasq.core.registered import Registered
from ipmasq.core.views import HelperVerdict


class Binding(NamedTuple):
    helper: Registered
    port: int
    by: str


SOURCE = "source port"


def binding(
    helpers: dict[str, Registered], protocol: int, client: End, server: End
) -> Binding | None:
    """Return the helper that inspects this flow, or None. It is bound by the port on which the server really
    listens, failing that by the public port by which it was reached.

    The client's port binds nothing, because anybody can choose it, unless the operator configures it for
    inside clients (`HelperUse.source_ports`). See docs/adr/0013.
    """
    for found in _candidates(helpers, protocol, client, server):
        if _serves(found.helper.use, client, server):
            return found
    return None


def verdicts(
    helpers: dict[str, Registered], protocol: int, client: End, server: End
) -> Iterator[HelperVerdict]:
    """Yield for each helper whether it inspects this flow (see `binding`), and why or why not."""
    winner: str | None = None
    for helper, port, by in _candidates(helpers, protocol, client, server):
        name = helper.use.name
        if winner is not None:
            if winner != name:
                yield HelperVerdict(name, False, f"{winner} was bound before it")
        elif not _serves(helper.use, client, server):
            reason = (
                "it does not say that it is orthogonal, and the client is not the masqueraded side"
            )
            yield HelperVerdict(name, False, reason)
        else:
            winner = name
            yield HelperVerdict(name, True, f"by the {by}, {port}")
    for helper in helpers.values():
        if helper.use.protocol != protocol:
            yield HelperVerdict(helper.use.name, False, "it is for another protocol")
        elif not any(port in _ports(helper.use, by) for port, by in _binding_ports(client, server)):
            listed = ", ".join(map(str, sorted(helper.use.ports))) or "none"
            yield HelperVerdict(helper.use.name, False, f"its ports are {listed}")


def _candidates(
    helpers: dict[str, Registered], protocol: int, client: End, server: End
) -> Iterator[Binding]:
    for port, by in _binding_ports(client, server):
        for helper in helpers.values():
            if helper.use.protocol == protocol and port in _ports(helper.use, by):
                yield Binding(helper, port, by)


def _binding_ports(client: End, server: End) -> list[tuple[int, str]]:
    """Return the ports that may bind a helper, and their names, the strongest first."""
    ports = [(server.real.port, "destination port")]
    if server.translated.port != server.real.port:
        ports.append((server.translated.port, "public port"))
    if client.is_masqueraded:
        ports.append((client.real.port, SOURCE))
    return ports


def _serves(use: HelperUse, client: End, server: End) -> bool:
    """Return whether the helper works with the side that is masqueraded."""
    return use.orthogonal or (client.is_masqueraded and not server.is_masqueraded)


def _ports(use: HelperUse, by: str) -> frozenset[int]:
    return use.source_ports if by == SOURCE else use.ports
