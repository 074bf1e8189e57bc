"""How long the changes of `--fix` last, and how to make them permanent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

DONE = "done: "
"""What a line begins with that names a command which was run."""

_UNTIL = {
    "nft": "rules of nft last until nftables loads its file again or the host reboots;"
    " to keep them, add them to /etc/nftables.conf",
    "iptables": "rules of iptables last until the host reboots or its firewall starts again; to keep them,"
    " run netfilter-persistent save (package iptables-persistent)",
    "ip": "what ip has set lasts until the host reboots or its network starts again; to keep it, add it to the"
    " configuration of the network (/etc/network/interfaces, systemd-networkd, NetworkManager)",
    "sysctl": "what sysctl has set lasts until the host reboots; to keep it, add it to a file in /etc/sysctl.d",
    "ethtool": "what ethtool has set lasts until the host reboots; to keep it, add it to the configuration of the"
    " network",
}
"""By the tool."""


def how_long(lines: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each tool whose commands were run, given the lines about them."""
    tools = (line.removeprefix(DONE).split()[0] for line in lines if line.startswith(DONE))
    for tool in dict.fromkeys("iptables" if t.startswith("iptables") else t for t in tools):
        if tool in _UNTIL:
            yield _UNTIL[tool]
