"""A gateway whose state is lost or damaged begins with no flows, and holds back the ports that may have been in use."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, Running
from tests.live.test_tun import tcp_server, udp_socket
from tests.live.test_untranslated import seen_outside
from tests.live.waiting import PATIENCE, eventually

pytestmark = pytest.mark.live

NEIGHBOUR, OTHER = "10.0.0.3", "203.0.113.3"
SETTINGS = {"ports": "61000-61000", "filtering": 0, "grace": 30}


def damaged(path: Path) -> None:
    path.write_bytes(b"nonsense" * 1000)


@pytest.mark.row("HA-6", "6888-8", "A-37")
@pytest.mark.parametrize("plane", ["tun", "ebpf-tc", "ebpf-xdp"])
@pytest.mark.parametrize("lose", [Path.unlink, damaged])
def test_no_inside_address_leaves_and_no_host_gets_what_is_meant_for_another(
    network: Network,
    gateway: Callable[..., Running],
    tmp_path: Path,
    plane: str,
    lose: Callable[[Path], None],
) -> None:
    network.ip("in", f"addr add {NEIGHBOUR}/24 dev eth")
    network.ip("out", f"addr add {OTHER}/24 dev eth")
    first = gateway(plane=plane, **SETTINGS)
    with (
        tcp_server(network, "out", REMOTE, 5000) as server,
        udp_socket(network, "in", INSIDE_HOST) as asking,
        udp_socket(network, "in", NEIGHBOUR) as neighbour,
        udp_socket(network, "out", REMOTE, 7000) as known,
        udp_socket(network, "out", OTHER, 7000) as other,
    ):
        with network.at("in"):
            client = socket.create_connection((REMOTE, 5000), PATIENCE)
        client.settimeout(PATIENCE)
        with client, server.accept()[0] as accepted:
            for _ in range(3):
                client.sendall(b"ask")
                assert accepted.recv(3, socket.MSG_WAITALL) == b"ask"
                asking.sendto(b"ask", (REMOTE, 7000))
                _, public = known.recvfrom(100)
                known.sendto(b"answer", public)
                assert asking.recv(100) == b"answer"
            assert public == (PUBLIC, 61000)
            first.stop(signal.SIGKILL)
            (path,) = tmp_path.glob("state-*.db")
            for kept in tmp_path.glob(f"{path.name}-*"):
                kept.unlink()
            lose(path)

            with seen_outside(network) as found:
                second = gateway(plane=plane, **SETTINGS)
                client.sendall(b"more")
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
                neighbour.sendto(b"ask", (OTHER, 7000))
                assert other.recvfrom(100) == (b"ask", public)  # by the port of the other host
                known.sendto(b"meant for another", public)
                other.sendto(b"answer", public)
                assert neighbour.recv(100) == b"answer"
            assert {*found} == {PUBLIC}

        neighbour.settimeout(0.2)

        def is_admitted() -> bool:
            known.sendto(b"from a stranger", public)
            try:
                return neighbour.recv(100) == b"from a stranger"
            except TimeoutError:
                return False

        assert not is_admitted()
        second.reload(json.dumps({"plane": plane, **SETTINGS, "port_hold": 0}))
        assert eventually(is_admitted)
    said = second.stop()
    assert ("is damaged" in said or "not a database" in said) is (lose is damaged), said
