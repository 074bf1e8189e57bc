"""The host's own firewall: rules that drop the gateway's packets, or translate them as well.

Docker and Kubernetes are rule sets like any other: both may leave `FORWARD` with the policy DROP.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host
from ipmasq.gateway.firewall.finding import Finding as Obstruction

AUTHORS = {"DOCKER": "Docker", "KUBE-FORWARD": "Kubernetes", "ufw-user-forward": "ufw"}
"""By a chain that only this software has."""

EFFECT = "connections hang: their packets are dropped"
UNANSWERED = "inside hosts get no answer when they ping the public address; connections pass"


def find(host: Host) -> Iterator[Finding]:
    for found in host.firewall:
        commands = found.commands or found.deletes
        yield Finding(
            "firewall",
            found.what + _author(found, host),
            _effect(found),
            "" if commands else found.remedy,
            commands,
            safe=bool(found.commands) and not found.is_meant and not _reloads(commands),
            is_hint=found.only_pings,
        )
    for found in host.forbidden:
        effect = "what is named is dropped, as the operator may have meant"
        yield Finding("firewall", found.what, effect, found.remedy, is_hint=True)


def _reloads(commands: tuple[str, ...]) -> bool:
    """Return whether they replace all rules, those of other software included."""
    return any("--reload" in command for command in commands)


def _effect(found: Obstruction) -> str:
    if found.only_pings:
        return UNANSWERED
    if found.is_meant:
        delete = f"; or delete it: {' && '.join(found.deletes)}" if found.deletes else ""
        text = "what the rule names is dropped; the command lets it pass, unless you have meant it"
        return text + delete
    return found.effect or EFFECT


def _author(found: Obstruction, host: Host) -> str:
    if not found.rules.startswith("iptables"):
        return ""
    named = [name for chain, name in AUTHORS.items() if f":{chain} " in host.rules]
    return f" (rules of {' and '.join(named)} are loaded)" if named else ""
