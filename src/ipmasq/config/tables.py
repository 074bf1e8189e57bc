"""Turns each table of the file into a value of the policy. The tables are known to be free of mistakes."""

from __future__ import annotations

from typing import Any

from ipmasq.config.model import ForwardTable, RuleTable, ShareTable, TriggerTable
from ipmasq.config.sides import addresses_in
from ipmasq.config.values import protocol_text
from ipmasq.core.policy import ALL_PORTS, ANY_PROTOCOL, Forward, Rule, Share, Trigger
from ipmasq.wire.addresses import to_text


def rule(table: RuleTable) -> Rule:
    return Rule(
        action=table.action,
        source=tuple(table.source.values()),
        destination=tuple(table.to.values()),
        protocol=table.protocol,
        source_ports=tuple(table.from_ports.values()) or (ALL_PORTS,),
        destination_ports=tuple(table.ports.values()) or (ALL_PORTS,),
        text=_rule_text(table),
    )


def _rule_text(table: RuleTable) -> str:
    parts = [table.action.name.lower()]
    if table.protocol != ANY_PROTOCOL:
        parts.append(protocol_text(table.protocol))
    for word, values in (
        ("from", table.source),
        ("from ports", table.from_ports),
        ("to", table.to),
        ("ports", table.ports),
    ):
        if values:
            parts.append(f"{word} {','.join(map(str, values.values()))}")
    return " ".join(parts)


def share(table: ShareTable) -> Share:
    networks = [network for pool in table.public.values() for network in pool.networks]
    public = [address for network in networks for address in addresses_in(network)]
    return Share(table.name, tuple(dict.fromkeys(public)), tuple(table.inside.values()))


def forward(table: ForwardTable) -> Forward:
    return Forward(
        name=forward_name(table),
        protocol=table.protocol,
        public=table.public,
        ports=table.port,
        inside=table.to.address,
        inside_port=(table.to.ports or table.port).low,
    )


def table_of(forward: Forward) -> dict[str, Any]:
    """Return the table for a forward, the inverse of `forward`."""
    table: dict[str, Any] = {"name": forward.name, "protocol": protocol_text(forward.protocol)}
    if forward.public:
        table["public"] = to_text(forward.public)
    table["port"] = str(forward.ports)
    table["to"] = f"{to_text(forward.inside)}:{forward.inside_ports}"
    return table


def forward_name(table: ForwardTable) -> str:
    """Return the forward's name, which is the same after each reload, whatever else is in the file:
    `tcp-2121`."""
    if table.name is not None:
        return table.name
    address = [to_text(table.public)] if table.public else []
    return "-".join([protocol_text(table.protocol), *address, str(table.port)])


def trigger(table: TriggerTable) -> Trigger:
    return Trigger(
        name=trigger_name(table),
        protocol=table.protocol,
        ports=table.ports,
        opens_protocol=table.opens_protocol or table.protocol,
        opens_ports=table.opens,
        life=table.life,
    )


def trigger_name(table: TriggerTable) -> str:
    return (
        table.name if table.name is not None else f"{protocol_text(table.protocol)}-{table.ports}"
    )
