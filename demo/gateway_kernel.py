"""The kernel's own masquerading, to compare."""

from __future__ import annotations

import subprocess

from demo.gateways import Setting
from demo.session import Testbed


class KernelGateway:
    """netfilter: masquerade, dnat, and its connection tracker's ftp helper. Always strict."""

    def __init__(self, testbed: Testbed, setting: Setting) -> None:
        self._lab = testbed.lab
        self._setting = setting
        self.host = setting.host

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

    def fast_path(self) -> None:
        """The kernel's own is part of the kernel."""

    def kill(self) -> None:
        """The kernel's own is no process."""

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
