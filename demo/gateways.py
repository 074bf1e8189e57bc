"""What is shown: `ipmasq run`; and, to compare, the kernel's own masquerading in its place."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import Protocol

from demo import cells
from ipmasq.lab import Lab


@dataclass(frozen=True)
class Forwarding:
    port: int
    host: str
    host_port: int


@dataclass(frozen=True)
class Setting:
    """How a gateway shall work.

    `idle`: seconds until an established connection is forgotten; None: as is usual. `strict`: a mapping
    admits only the endpoints that it has written to, not all of their hosts.
    """

    host: str
    forwards: tuple[Forwarding, ...]
    idle: int | None = None
    strict: bool = False
    helper_ports: tuple[int, ...] = field(default=cells.HELPER_PORTS)


_SERVED = (cells.STANDARD_PORT, cells.OTHER_PORT, cells.SLOW_PORT)
SETTINGS = (
    Setting(
        "gw1",
        (
            *(Forwarding(port, "in2", port) for port in (*_SERVED, cells.PROUD_PORT)),
            Forwarding(cells.MOVED_PORT, "in2", cells.STANDARD_PORT),
        ),
    ),
    Setting("gw2", tuple(Forwarding(port, "far1", port) for port in _SERVED)),
)


class Gateway(Protocol):
    """A gateway on one host of the lab."""

    def start(self) -> None:
        """Returns when it works."""

    def unload_helper(self) -> None:
        """From now on, FTP is not understood."""

    def account(self) -> str:
        """What it says of itself, for the report of a failure."""

    def stop(self) -> None: ...


class KernelGateway:
    """netfilter: masquerade, dnat, and its connection tracker's ftp helper. Always strict."""

    def __init__(self, lab: Lab, setting: Setting) -> None:
        self._lab = lab
        self._setting = setting

    def start(self) -> None:
        self._sysctl("net.ipv4.ip_forward", 1)
        self._nft(self._rules())
        if self._setting.idle is not None:
            self._sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", self._setting.idle)

    def unload_helper(self) -> None:
        self._nft("flush chain ip demo helpers")

    def account(self) -> str:
        listing = self._lab.run(
            self._setting.host, ["nft", "list", "ruleset"], capture_output=True, text=True
        )
        return str(listing.stdout)

    def stop(self) -> None:
        self._nft("delete table ip demo")
        self._sysctl("net.ipv4.ip_forward", 0)

    def _rules(self) -> str:
        ports = ", ".join(map(str, self._setting.helper_ports))
        address = self._lab.host(self._setting.host).ip
        forwards = "\n".join(
            f"ip daddr {address} tcp dport {forward.port} "
            f"dnat to {self._lab.host(forward.host).ip}:{forward.host_port}"
            for forward in self._setting.forwards
        )
        return f"""
            table ip demo {{
                ct helper ftp {{ type "ftp" protocol tcp; }}
                chain helpers {{
                    type filter hook prerouting priority 0;
                    tcp dport {{ {ports} }} ct helper set "ftp"
                }}
                chain publish {{
                    type nat hook prerouting priority dstnat;
                    {forwards}
                }}
                chain disguise {{
                    type nat hook postrouting priority srcnat;
                    oifname "outside" masquerade
                }}
            }}
            """

    def _nft(self, script: str) -> None:
        self._lab.run(self._setting.host, ["nft", "-f", "-"], input=script.encode(), check=True)

    def _sysctl(self, key: str, value: int) -> None:
        command = ["sysctl", "--quiet", f"{key}={value}"]
        self._lab.run(self._setting.host, command, check=True, stdout=subprocess.DEVNULL)
