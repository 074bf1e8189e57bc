"""Who forwards between inside and outside."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.topology import PREFIX, Network

MASQUERADE = "kernel-masquerade"
"""What others are compared with."""
RULES = 'table ip bench { chain out { type nat hook postrouting priority srcnat; oifname "go" masquerade; }; }'

CONFIGURATION = """
[gateway]
inside = "gi"
outside = "go"
plane = "{plane}"
ports = "33000-65535"  # it leaves some to the gateway itself

[limits]  # one host is all hosts here
ports_per_host = 65_535
tracked_pps_per_host = 1_000_000
untracked_pps_per_host = 1_000_000
untracked_pps_per_side = 1_000_000
lines = 10_000_000
lines_per_host = 10_000_000

[helper.ftp]

[control]
socket = "{socket}"
"""


@contextmanager
def forwarding(network: Network) -> Iterator[None]:
    """The kernel forwards, nothing more."""
    network.run("gw", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    try:
        yield
    finally:
        network.run("gw", "sysctl", "-qw", "net.ipv4.ip_forward=0")


@contextmanager
def masquerading(network: Network) -> Iterator[None]:
    """The kernel masquerades, by nftables."""
    with forwarding(network):
        network.run("gw", "nft", "-f", "-", given=RULES)
        try:
            yield
        finally:
            network.run("gw", "nft", "delete", "table", "ip", "bench")


@contextmanager
def ipmasq(network: Network, plane: str = "tun", more: str = "") -> Iterator[Path]:
    """`ipmasq run` on this plane, with the FTP helper; `more`: at the end of its configuration. Yields its
    control socket."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as directory:
        file = Path(directory, "gateway.toml")
        socket = Path(directory, "control.sock")
        file.write_text(CONFIGURATION.format(socket=socket, plane=plane) + more)
        program = str(Path(sys.executable).with_name("ipmasq"))
        with network.running("gw", program, "run", "-c", str(file), ready="the gateway runs"):
            yield socket


@contextmanager
def ipmasq_xdp(network: Network) -> Iterator[None]:
    """With hosts that finish their checksums, as XDP on a veth needs it; so they send no large segments."""
    _offload(network, checksums="off", receive="on")
    try:
        with ipmasq(network, "ebpf-xdp"):
            yield
    finally:
        _offload(network, checksums="on", receive="off")


def _offload(network: Network, checksums: str, receive: str) -> None:
    for host in ("in", "out"):
        network.run(host, "ethtool", "-K", "eth", "tx", checksums, "gro", receive)


WAYS: Mapping[str, Callable[[Network], AbstractContextManager[object]]] = {
    "kernel-forward": forwarding,
    MASQUERADE: masquerading,
    "tun": ipmasq,
    "ebpf": partial(ipmasq, plane="ebpf-tc"),
    "ebpf-xdp": ipmasq_xdp,
}
"""By the first part of their figures' names."""
