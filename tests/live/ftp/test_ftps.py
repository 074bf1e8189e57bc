"""FTP that becomes encrypted: what the gateway says, and what works."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live.as_users import started
from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, run
from tests.live.firewalls import SIZE, VSFTPD
from tests.live.test_tun import tcp_server
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

TOML = f"""
[gateway]
inside = ["gi"]
outside = "go"

[control]
socket = "{{socket}}"

[helper.ftp]
ports = [21, 990]

[[forward]]
name = "ftp"
protocol = "tcp"
port = 21
to = "{INSIDE_HOST}:21"

[[forward]]
name = "ftp-data"
protocol = "tcp"
port = "30000-30009"
to = "{INSIDE_HOST}:30000"
"""
TLS = """
ssl_enable=YES
allow_anon_ssl=YES
require_ssl_reuse=NO
rsa_cert_file={pem}
rsa_private_key_file={pem}
pasv_min_port=30000
pasv_max_port=30009
"""


class Gateway:
    def __init__(self, network: Network, directory: Path) -> None:
        self.network = network
        self.directory = directory
        self.socket = str(directory / "control.sock")

    @contextmanager
    def running(self) -> Iterator[None]:
        path = self.directory / "gateway.toml"
        path.write_text(TOML.format(socket=self.socket))
        with started(self.network, path, Path(self.socket)) as gateway:
            yield
        self.said = gateway.said

    def ask(self, *words: str) -> str:
        command = [sys.executable, "-m", "ipmasq", *words, "--socket", self.socket]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def control_flow(self) -> dict[str, Any]:
        (flow,) = (
            each
            for each in json.loads(self.ask("show", "flows", "--json"))
            if each["master"] is None and each["protocol"] == "tcp" and each["encrypted"]
        )
        return dict(flow)

    @contextmanager
    def server(self, host: str, *settings: str) -> Iterator[None]:
        """vsftpd with TLS."""
        pem, root = self.directory / "server.pem", self.directory / "ftp"
        request = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=server",
        ]
        run("openssl", *request, "-keyout", str(pem), "-out", str(pem) + ".crt")
        pem.write_text(pem.read_text() + Path(f"{pem}.crt").read_text())
        root.mkdir()
        for each in (root, *list(root.parents)[:-2]):
            os.chmod(each, 0o755)
        (root / "file").write_bytes(bytes(SIZE))
        Path("/run/vsftpd/empty").mkdir(parents=True, exist_ok=True)
        config = self.directory / "vsftpd.conf"
        text = VSFTPD.format(root=root) + TLS.format(pem=pem) + "\n".join(settings) + "\n"
        config.write_text(text)
        process = self.network.start(host, "vsftpd", str(config))
        try:
            listens = ["ss", "-Hltn"]
            assert eventually(lambda: run(*self._at(host, *listens)))
            yield
        finally:
            process.terminate()
            process.communicate(timeout=10)

    def _at(self, host: str, *command: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.network.name(host)}", *command]

    def curl(self, host: str, url: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        command = ["curl", "-sS", "-k", "--max-time", "10", *options, url]
        return subprocess.run(
            self._at(host, *command), capture_output=True, timeout=30, check=False
        )


@pytest.fixture
def gateway(network: Network, tmp_path: Path) -> Gateway:
    network.ip("gw", f"route add default via {REMOTE}")
    return Gateway(network, tmp_path)


def test_a_client_that_encrypts_can_transfer_passively_and_it_is_said(gateway: Gateway) -> None:
    with gateway.server("out"), gateway.running():
        done = gateway.curl("in", f"ftp://{REMOTE}/file", "--ssl-reqd")
        assert len(done.stdout) == SIZE, done.stderr
        flow = gateway.control_flow()
        explained = gateway.ask("explain", str(flow["id"]))
        assert explained.startswith("it is encrypted: no helper can read it; passive transfers")
    assert "is encrypted from here on" in gateway.said


def test_a_published_server_that_encrypts_is_reached_by_a_published_range(gateway: Gateway) -> None:
    with gateway.server("in", f"pasv_address={PUBLIC}"), gateway.running():
        done = gateway.curl("out", f"ftp://{PUBLIC}/file", "--ssl-reqd", "--disable-epsv")
        assert len(done.stdout) == SIZE, done.stderr
        explained = gateway.ask("explain", str(gateway.control_flow()["id"]))
        assert "a range of ports that a forward publishes" in " ".join(explained.split())


def test_a_connection_that_is_encrypted_from_its_first_byte_is_said_to_be(
    gateway: Gateway,
) -> None:
    with gateway.server("out", "implicit_ssl=YES", "listen_port=990"), gateway.running():
        done = gateway.curl("in", f"ftps://{REMOTE}:990/file")
        assert len(done.stdout) == SIZE, done.stderr
        assert gateway.control_flow()["remote"]["port"] == 990


def test_a_failed_transfer_is_explained_in_one_sentence(gateway: Gateway) -> None:
    """By the control flow, by the data connection that did not come, and after the end."""
    sentence = (
        "the server announced 192.168.1.4:1025, which is not its own address, so nothing was opened"
    )
    with gateway.running(), tcp_server(gateway.network, "out", REMOTE, 21) as listening:
        with gateway.network.at("in"):
            client = socket.create_connection((REMOTE, 21), 5)
        server = listening.accept()[0]
        server.settimeout(5)
        client.settimeout(5)
        with client, server:
            server.sendall(b"220 ready\r\n")
            client.sendall(b"PASV\r\n")
            assert server.recv(100) == b"PASV\r\n"
            announced = b"227 Entering Passive Mode (192,168,1,4,4,1).\r\n"
            server.sendall(announced)
            assert client.makefile("rb").readlines(len(announced) + 1)[-1] == announced
            (flow,) = json.loads(gateway.ask("show", "flows", "--json"))
            said = json.loads(gateway.ask("explain", str(flow["id"]), "--json"))
            assert said["transfer"] == sentence
            data = ("explain", "tcp", f"{INSIDE_HOST}:40000", "192.168.1.4:1025")
            assert " ".join(gateway.ask(*data).split()).startswith(f"{sentence} (flow 1)")
            assert (
                json.loads(gateway.ask(*data[:-1], f"{REMOTE}:1025", "--json"))["transfer"] is None
            )
        gateway.ask("close", str(flow["id"]))
        command = [sys.executable, "-m", "ipmasq", "explain", "1", "--socket", gateway.socket]
        gone = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert f"there is no flow 1; before it ended, {sentence}" in gone.stderr


def test_a_connection_to_port_990_is_explained_before_there_is_one(gateway: Gateway) -> None:
    with gateway.running():
        ends = (f"{INSIDE_HOST}:40000", f"{REMOTE}:990")
        said = gateway.ask("explain", "tcp", *ends)
        assert said.startswith("port 990 is encrypted from the first byte: no helper can read it;")
        assert "port 990" not in gateway.ask("explain", "udp", *ends)
