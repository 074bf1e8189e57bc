"""`ipmasq upgrade` on a real gateway: sessions with shifted sequence numbers go on in another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile import ftp
from tests.hostile.network import PUBLIC, Network

pytestmark = pytest.mark.live

IPMASQ = str(Path(sys.executable).with_name("ipmasq"))


@pytest.fixture(scope="module", params=["tun", "ebpf-tc"])
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    network = Network(request.param, f"upg{os.getpid()}{request.param.replace('-', '')}")
    yield network
    network.close()


def upgrade(network: Network) -> subprocess.CompletedProcess[str]:
    command = [IPMASQ, "upgrade", "--socket", str(network.gateway.socket)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def end(process: int) -> None:
    """End a gateway that is no child of this process, and wait for it."""
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.row("HA-2")
def test_a_session_and_a_flow_go_on_in_the_successor_and_in_its_successor(network: Network):
    with network.serving({}) as gateway, network.connection(21) as (near, far):
        first = gateway.ask_status()["process"]
        ftp.session(near, far, PUBLIC)
        with network.datagrams() as flow:
            processes = {first}
            for _ in range(2):
                done = upgrade(network)
                assert done.returncode == 0, done.stderr + gateway.said()
                processes.add(gateway.ask_status()["process"])
                ftp.port(near, far, PUBLIC)
                public = flow.public
                assert flow.ask()
                assert flow.public == public
            assert len(processes) == 3
        last = gateway.ask_status()["process"]
        end(last)
        assert not network.leaks()


def test_a_mistake_in_the_changed_file_leaves_the_process_that_runs(network: Network):
    with network.serving({}) as gateway, network.connection(21) as (near, far):
        first = gateway.ask_status()["process"]
        ftp.session(near, far, PUBLIC)
        with gateway.file.open("a", encoding="utf-8") as file:
            file.write("[nonsense]\n")
        done = upgrade(network)
        assert done.returncode == 1
        assert "ended with exit code 3, and this one goes on" in done.stderr
        assert "nonsense" in gateway.said()
        assert gateway.ask_status()["process"] == first
        ftp.port(near, far, PUBLIC)
