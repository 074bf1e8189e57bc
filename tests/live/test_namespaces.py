"""Gateways in several network namespaces of one machine, each with the usual control socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.conftest import Network
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

CONFIG = '[gateway]\ninside = "10.0.0.0/24"\noutside = "go"\nplane = "tun"\n'


def ipmasq(network: Network, host: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = network.start(host, sys.executable, "-m", "ipmasq", *arguments, env=environment())
    said = process.communicate(timeout=30)[0]
    return subprocess.CompletedProcess(arguments, process.returncode, said)


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "IPMASQ_SOCKET"}


def test_status_never_answers_for_the_gateway_of_another_namespace(
    network: Network, tmp_path: Path
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG)
    command = [sys.executable, "-m", "ipmasq", "run", "-c", str(file)]
    running = network.start("gw", *command, env=environment())
    try:
        assert eventually(lambda: ipmasq(network, "gw", "status").returncode == 0)
        status = json.loads(ipmasq(network, "gw", "status", "--json").stdout)
        assert status["config"] == str(file)
        elsewhere = ipmasq(network, "out", "status")
        assert elsewhere.returncode == 4
        assert "no gateway runs here" in elsewhere.stdout
    finally:
        running.terminate()
        running.communicate(timeout=10)


def test_a_control_socket_that_cannot_be_served_is_found_before_traffic_is_taken_over(
    network: Network, tmp_path: Path
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f'{CONFIG}[control]\ngroup = "no-such-group"\n')
    before = network.ip("gw", "rule")
    for arguments in (["check", str(file)], ["run", "-c", str(file)]):
        done = ipmasq(network, "gw", *arguments)
        assert done.returncode == 3
        assert "this machine has no group no-such-group" in done.stdout
    assert network.ip("gw", "rule") == before
