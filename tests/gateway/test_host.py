"""What the gateway reads about its host, against real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ipmasq.gateway.host import notify_systemd, ports_in_use

TCP, UDP = 6, 17


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
@pytest.mark.parametrize(
    ("kind", "protocol"), [(socket.SOCK_STREAM, TCP), (socket.SOCK_DGRAM, UDP)]
)
def test_a_port_that_a_socket_of_the_host_has_is_in_use(
    address: str, kind: socket.SocketKind, protocol: int
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as holder:
        holder.bind((address, 0))
        if protocol == TCP:
            holder.listen()
        port = holder.getsockname()[1]
        assert (protocol, port) in ports_in_use()
    assert (protocol, port) not in ports_in_use()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_what_only_the_host_itself_can_reach_is_in_nobodys_way(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as holder:
        holder.bind((address, 0))
        assert (UDP, holder.getsockname()[1]) not in ports_in_use()


def test_without_ipv6_there_are_fewer_tables(tmp_path: Path) -> None:
    (tmp_path / "udp").write_text(
        "  sl  local_address rem_address   st\n 9: 00000000:0044 00000000:0000 07\n"
    )
    assert ports_in_use(tmp_path) == {(UDP, 68)}


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify_systemd("READY=1")
        assert systemd.recv(100) == b"READY=1"
    notify_systemd("STOPPING=1")  # nobody listens any more: no trouble
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify_systemd("READY=1")
