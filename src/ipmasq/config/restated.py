"""The configuration that is in force, written anew for another process that is to decide about packets alike.

It names networks and addresses in place of this machine's interfaces, has the operator's changes since the file was read,
and opens, writes and shares nothing: the sections about sockets, logs, state and groups of gateways are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ipmasq.config.helpers import installed_names
from ipmasq.config.loading import ON_BY_DEFAULT, Loaded
from ipmasq.config.tables import table_of
from ipmasq.config.toml import text_of
from ipmasq.core.policy import Policy, Timeouts
from ipmasq.wire.addresses import to_text

KEPT = (
    "outside",
    "mapping",
    "filtering",
    "port_hold",
    "default_action",
    "icmp_errors",
    "resets",
)
"""Settings of `[gateway]` that are the same everywhere."""


def restate(loaded: Loaded, policy: Policy) -> str:
    """Return the text. A helper that the operator has loaded from a file that the configuration does not name is left
    out."""
    written = loaded.data
    data: dict[str, Any] = {
        "gateway": _gateway(written.get("gateway", {}), policy),
        "timeouts": _timeouts(policy.timeouts),
        "limits": written.get("limits", {}),
        "rule": written.get("rule", []),
        "trigger": written.get("trigger", []),
        "forward": [table_of(each) for each in policy.forwards],
        "helper": _helpers(loaded, policy),
    }
    return text_of({name: content for name, content in data.items() if content})


def _gateway(written: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    table: dict[str, Any] = {name: written[name] for name in KEPT if name in written}
    table["inside"] = [str(network) for network in policy.inside]
    if policy.public:
        table["public"] = [to_text(address) for address in policy.public]
    table["ports"] = str(policy.ports)
    if policy.data_ports is not None:
        table["data_ports"] = str(policy.data_ports)
    return table


def _timeouts(times: Timeouts) -> dict[str, Any]:
    table = {field.name: getattr(times, field.name) for field in fields(times)}
    by_port = {str(port): seconds for port, seconds in table.pop("udp_ports").items()}
    return {**table, "udp_ports": by_port} if by_port else table


def _helpers(loaded: Loaded, policy: Policy) -> dict[str, Any]:
    """Return the helpers that are loaded, with their files named from the root, and switch off the others."""
    in_use = {use.name: use for use in policy.helpers}
    tables: dict[str, Any] = {}
    for name, table in {ON_BY_DEFAULT: {}, **loaded.data.get("helper", {})}.items():
        tables[name] = dict(table) if name in in_use else {"enabled": False}
        if "file" in tables[name]:
            tables[name]["file"] = str((loaded.path.parent / table["file"]).absolute())
    for name in in_use.keys() & set(installed_names()):
        ports = sorted(in_use[name].ports)
        tables.setdefault(name, {}).update({"ports": ports} if ports else {})
    return tables
