"""`ipmasq undo` on a host where a gateway was killed, and where one runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipmasq.planes.leftovers import find_leftovers, undo_leftovers
from tests.live.as_users import started
from tests.live.conftest import Network, Running, run, trace

pytestmark = pytest.mark.live

Start = Callable[..., Running]

TOML = """
[gateway]
inside = ["10.0.0.0/24", "gi"]
outside = "go"

[control]
socket = "{socket}"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(TOML.format(socket=tmp_path / "control.sock"))
    return path


def ipmasq(network: Network, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ipmasq", *arguments]
    with network.at("gw"):
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def killed(network: Network, file: Path) -> None:
    """A gateway has run here."""
    with started(network, file, file.with_name("control.sock")) as gateway:
        gateway.process.kill()


def test_the_host_is_restored_after_a_kill_and_what_was_undone_is_said(
    network: Network, file: Path
) -> None:
    before = trace(network)
    killed(network, file)
    assert trace(network)["rules"] != before["rules"]
    status = ipmasq(network, "status", "--socket", str(file.with_name("control.sock")))
    assert status.returncode == 4
    assert "one was killed" in status.stderr
    assert "ipmasq undo" in status.stderr
    done = ipmasq(network, "undo")
    assert done.returncode == 0, done.stderr
    assert "net.ipv4.conf.gi.forwarding is 0 again" in done.stdout
    assert "routing rules" in done.stdout
    assert trace(network) == before
    again = ipmasq(network, "undo")
    assert (again.returncode, again.stdout) == (0, "nothing is left to undo here\n")
    assert "undo" not in ipmasq(network, "status").stderr


def test_programs_are_told_what_was_undone(network: Network, file: Path) -> None:
    killed(network, file)
    said = json.loads(ipmasq(network, "undo", "--json").stdout)
    assert said["settings"]["net.ipv4.conf.gi.forwarding"] == "0"
    assert said["routing"] > 5
    said = json.loads(ipmasq(network, "undo", "--json").stdout)
    assert said == {"settings": {}, "routing": 0, "filters": 0}


def test_nothing_is_changed_while_a_gateway_runs_which_is_named(
    network: Network, file: Path
) -> None:
    with started(network, file, file.with_name("control.sock")) as gateway:
        during = trace(network)
        done = ipmasq(network, "undo")
        assert done.returncode == 1
        process = f"running already in this network namespace (process {gateway.process.pid})"
        assert f"nothing is undone: ipmasq is {process}" in done.stderr
        assert trace(network) == during
        with network.at("gw"):
            assert not find_leftovers()


def test_filters_that_a_kill_leaves_at_interfaces_are_removed(
    network: Network, gateway: Start
) -> None:
    """Before Linux 6.6, whose links end with the process."""
    running = gateway(plane="ebpf-tc", tcx=False)
    running.process.kill()
    running.process.communicate(timeout=10)
    with network.at("gw"):
        assert "ipmasq" in run("tc", "filter", "show", "dev", "go", "ingress")
        assert undo_leftovers(running.path.parent).filters == 2
        for name in ("go", "gi"):
            assert run("tc", "filter", "show", "dev", name, "ingress") == ""
        assert not undo_leftovers(running.path.parent)
