"""Traffic of an ordinary router's users, and how a test has firewall rules loaded and mended."""

from __future__ import annotations

import ftplib
import io
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, Running
from tests.live.test_tun import echo, tcp_server, tcp_talk, udp_socket
from tests.live.waiting import eventually

Start = Callable[..., Running]

each_plane = pytest.mark.parametrize("plane", ["tun", "ebpf-tc", "ebpf-xdp"])
each_fast_plane = pytest.mark.parametrize("plane", ["ebpf-tc", "ebpf-xdp"])


RULESETS = Path(__file__).parents[1] / "gateway/firewall/rulesets"
UFW, DOCKER, DOCKER_28 = (
    (RULESETS / f"{name}.rules").read_text() for name in ("ufw", "docker", "docker28")
)

SIZE = 1_000_000
VSFTPD = """
listen=YES
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root={root}
connect_from_port_20=YES
secure_chroot_dir=/run/vsftpd/empty
"""


def load(network: Network, rules: str, tool: str = "nft") -> None:
    command = {"nft": ["nft", "-f", "-"]}.get(tool, [f"{tool}-restore"])
    with network.at("gw"):
        subprocess.run(command, input=rules, text=True, check=True, capture_output=True)


def add(network: Network, remedy: str) -> None:
    """Do what was said to be done, exactly."""
    adding = remedy.removeprefix("add: ").partition("; or delete: ")[0]
    type_at_gateway(network, adding.split(" && "))


def type_at_gateway(network: Network, commands: Iterable[str]) -> None:
    for command in commands:
        with network.at("gw"):
            subprocess.run(["sh", "-c", command], check=True, capture_output=True)


def remedies(said: str) -> list[str]:
    """Out of the log, which has each command in a line of its own."""
    found: list[list[str]] = []
    before = ""
    for line in said.splitlines():
        command = re.search(r" {3}add: (.*)", line)
        if command and before:
            found[-1].append(command[1])
        elif command:
            found.append([command[1]])
        before = command[1] if command else ""
    return [f"add: {' && '.join(each)}" for each in found]


def begin(network: Network, gateway: Start, plane: str, **settings: object) -> Running:
    if plane == "ebpf-xdp":
        for host in ("in", "out"):
            network.features(host, "eth", "tx", "off", "gro", "on")
    return gateway(plane=plane, ftp=True, **settings)


def download(network: Network, host: str, to: str) -> int:
    """Bytes that arrive of SIZE, from a server that closes."""
    server = tcp_server(network, "out" if host == "in" else "in", "0.0.0.0", 8000)
    server.settimeout(5)

    def give() -> None:
        with server.accept()[0] as accepted:
            accepted.settimeout(5)
            accepted.sendall(bytes(SIZE))

    giver = threading.Thread(target=give)
    giver.start()
    received = 0
    with server, network.at(host):
        with socket.create_connection((to, 8000), 5) as client:
            while part := client.recv(1 << 20):
                received += len(part)
        giver.join()
    return received


@contextmanager
def ftp_server(network: Network, host: str = "out", address: str = REMOTE) -> Iterator[None]:
    Path("/run/vsftpd/empty").mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as name:
        root, config = Path(name) / "ftp", Path(name) / "vsftpd.conf"
        root.mkdir()
        for each in (root.parent, root):
            each.chmod(0o755)
        (root / "file").write_bytes(bytes(SIZE))
        config.write_text(VSFTPD.format(root=root))
        process = network.start(host, "vsftpd", str(config))
        try:
            assert eventually(lambda: _answers(network, host, address))
            yield
        finally:
            process.terminate()
            process.communicate(timeout=10)


def _answers(network: Network, host: str, address: str) -> bool:
    with network.at(host), closing(socket.socket()) as probe:
        return probe.connect_ex((address, 21)) == 0


def fetch(network: Network, passive: bool, host: str = "in", server: str = REMOTE) -> int:
    received = io.BytesIO()
    with network.at(host):
        client = ftplib.FTP(timeout=5)
        client.connect(server, 21)
        client.login()
        client.set_pasv(passive)
        for _ in range(2):
            client.retrbinary("RETR file", received.write)
        client.quit()
    return len(received.getvalue())


def everything_works(network: Network) -> None:
    assert download(network, "in", REMOTE) == SIZE
    with udp_socket(network, "out", REMOTE, 5001) as server, udp_socket(network, "in") as client:
        client.sendto(b"ask", (REMOTE, 5001))
        server.sendto(b"answer", server.recvfrom(100)[1])
        assert client.recv(100) == b"answer"
    assert echo(network, "in", REMOTE) == (REMOTE, 0)
    with ftp_server(network):
        assert fetch(network, passive=True) == 2 * SIZE
        assert fetch(network, passive=False) == 2 * SIZE


PUBLISHED = [["ftp", 6, 21, INSIDE_HOST, 21], ["web", 6, 80, INSIDE_HOST, 8080]]


def published_servers_are_reached(network: Network) -> None:
    """From outside."""
    with tcp_server(network, "in", INSIDE_HOST, 8080) as server:
        assert tcp_talk(network, "out", (PUBLIC, 80), server) == REMOTE
    with ftp_server(network, "in", INSIDE_HOST):
        assert fetch(network, True, "out", PUBLIC) == 2 * SIZE
        assert fetch(network, False, "out", PUBLIC) == 2 * SIZE


def published_servers_are_reached_from_inside(network: Network) -> None:
    """By the public address (hairpinning)."""
    with tcp_server(network, "in", INSIDE_HOST, 8080) as server:
        assert tcp_talk(network, "in", (PUBLIC, 80), server) == PUBLIC
