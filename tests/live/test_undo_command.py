"""`ipmasq undo` on a host where a gateway was killed, and where one runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipmasq.control.socket_path import usual_socket
from ipmasq.planes.leftovers import find_leftovers, undo_leftovers
from ipmasq.planes.tun.record import DIRECTORY
from tests.live.as_users import LIMIT, started
from tests.live.conftest import Network, Running, run, trace
from tests.live.waiting import eventually

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
    assert said["sockets"] == [str(file.with_name("control.sock"))]
    said = json.loads(ipmasq(network, "undo", "--json").stdout)
    assert said == {"settings": {}, "routing": 0, "filters": 0, "sockets": []}


def test_every_command_says_that_one_was_killed_and_doctor_names_its_configuration(
    network: Network, file: Path
) -> None:
    killed(network, file)
    path = str(file.with_name("control.sock"))
    flows = ipmasq(network, "show", "flows", "--socket", path)
    assert flows.returncode == 4
    assert "one was killed" in flows.stderr
    first, *_ = json.loads(ipmasq(network, "doctor", "--json", "--socket", path).stdout)
    assert first["subject"] == "leftovers"
    assert f"ipmasq run {file};" in first["fix"]
    assert ipmasq(network, "undo").returncode == 0


def test_no_file_of_the_killed_gateway_stays_in_its_directory(network: Network, file: Path) -> None:
    """It ran in a mount namespace of its own, as `ip netns exec` makes one: its bpffs is not mounted here."""
    with network.at("gw"):
        number, path = os.stat("/proc/self/ns/net").st_ino, Path(usual_socket())

    def files() -> set[str]:
        """Those of this network namespace, or of an earlier one with its number."""
        return {each.name for each in DIRECTORY.glob("*") if f"-{number}" in each.name}

    before = files()
    text = file.read_text().partition("[control]")[0]
    file.write_text(f'{text}[state]\ndirectory = "{file.parent}"\n')
    own = ["unshare", "--mount", "sh", "-c", 'umount -l /sys/fs/bpf; exec "$@"', "sh"]
    process = network.start("gw", *own, sys.executable, "-m", "ipmasq", "run", str(file))
    try:
        assert eventually(path.exists), process.poll()
        assert list(DIRECTORY.glob(f"bpf-{number}-*"))
    finally:
        process.kill()
        process.communicate(timeout=LIMIT)
    done = ipmasq(network, "undo")
    assert f"removed: {path}, a socket that nobody served" in done.stdout
    assert files() <= before


def test_a_socket_that_somebody_serves_is_never_removed(network: Network, file: Path) -> None:
    killed(network, file)
    path = file.with_name("control.sock")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        done = ipmasq(network, "undo")
        assert done.returncode == 0
        assert "removed" not in done.stdout
        assert path.exists()


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
