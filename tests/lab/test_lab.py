"""A lab that is really built: everything is there, and afterwards nothing is."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import netns
from typer.testing import CliRunner

from ipmasq.lab import Lab, LabError, Layout
from ipmasq.lab.build import inside
from ipmasq.lab.cli import app
from ipmasq.lab.plan import SWITCH
from ipmasq.lab.processes import NETNS
from ipmasq.lab.record import directory, known

pytestmark = pytest.mark.live

PREFIX = f"tlab{os.getpid()}"
ANSWER = "import socket,sys; s=socket.create_server(('',7)); print('up',flush=True); s.accept()"
CONNECT = "import socket,sys; socket.create_connection((sys.argv[1],7),3)"


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """The test, and what it starts, is in a namespace in which nobody else makes interfaces."""
    name = f"own-{PREFIX}"
    netns.create(name)
    try:
        with inside(name):
            yield from nothing_new()
    finally:
        netns.remove(name)


def nothing_new() -> Iterator[None]:
    interfaces = socket.if_nameindex()
    yield
    if PREFIX in known():
        Lab.find(PREFIX).down()
        pytest.fail("the lab was left up")
    assert not list(NETNS.glob(f"{PREFIX}-*"))
    assert not directory(PREFIX).exists()
    assert socket.if_nameindex() == interfaces


def python(lab: Lab, host: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program, *arguments]
    return lab.spawn(host, command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def reaches(lab: Lab, client: str, server: str) -> bool:
    """Whether a TCP connection comes about."""
    listening = python(lab, server, ANSWER)
    assert listening.stdout
    assert listening.stdout.readline() == b"up\n"
    try:
        return python(lab, client, CONNECT, lab.host(server).ip).wait() == 0
    finally:
        listening.kill()
        listening.wait()
        listening.stdout.close()


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ("in1", "in2", True),
        ("gw1", "in1", True),
        ("gw1", "out1", True),
        ("gw1", "gw2", True),
        ("out1", "out2", True),
        ("out1", "gw2", True),
        ("out1", "in1", False),
        ("gw1", "far1", False),
    ],
)
def test_who_reaches_whom_before_any_gateway_runs(
    client: str, server: str, expected: bool, pair: Lab
) -> None:
    # far1's address is in1's as well: from gw1 it is in1 that answers, and it does not listen.
    assert reaches(pair, client, server) is expected


@pytest.fixture
def pair() -> Iterator[Lab]:
    with Lab.up(Layout(prefix=PREFIX, gateways=2)) as lab:
        yield lab


def test_up_twice_says_so_and_leaves_the_first_alone() -> None:
    with Lab.up(Layout(prefix=PREFIX)) as lab:
        with pytest.raises(LabError, match="is up already"):
            Lab.up(Layout(prefix=PREFIX, gateways=2))
        assert all(each.exists for each in lab.status())
        assert reaches(lab, "in1", "in2")


def test_a_namespace_that_is_not_a_labs_is_neither_used_nor_removed() -> None:
    path = NETNS / f"{PREFIX}-in1"
    NETNS.mkdir(exist_ok=True)
    path.touch()
    try:
        with pytest.raises(LabError, match="belongs to no lab"):
            Lab.up(Layout(prefix=PREFIX))
        assert path.exists()
    finally:
        path.unlink()


def test_down_ends_what_runs_there_even_what_does_not_want_to() -> None:
    stubborn = (
        "import signal,time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(99)"
    )
    lab = Lab.up(Layout(prefix=PREFIX))
    process = python(lab, "in1", stubborn)
    assert process.stdout
    process.stdout.readline()
    assert [each.processes for each in lab.status() if each.host.name == "in1"] == [(process.pid,)]
    lab.down()
    assert process.wait(5) == -signal.SIGKILL
    process.stdout.close()


def test_after_a_crash_in_the_middle_of_building_down_removes_everything() -> None:
    crash = f"""
import os, ipmasq.lab.build as build
from ipmasq.lab import Lab, Layout
build._address = lambda *_: os.kill(os.getpid(), 9)
Lab.up(Layout(prefix={PREFIX!r}, gateways=2))
"""
    assert subprocess.run([sys.executable, "-c", crash]).returncode == -signal.SIGKILL
    assert len(list(NETNS.glob(f"{PREFIX}-*"))) == 10
    result = CliRunner().invoke(app, ["down", "--prefix", PREFIX])
    assert result.exit_code == 0
    assert "Removed 10 namespaces" in result.output


def test_a_signal_while_it_is_built_leaves_nothing_behind() -> None:
    """The handler raises, as Python's own for ctrl-C does."""
    build = f"""
import signal, sys
from ipmasq.lab import Lab, Layout
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("now", flush=True)
for _ in range(1000):
    Lab.up(Layout(prefix={PREFIX!r}, inside=1, outside=1)).down()
"""
    for pause in (0.2, 0.3, 0.45):
        process = subprocess.Popen([sys.executable, "-c", build], stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        time.sleep(pause)
        process.terminate()
        assert process.wait(10) == 7
        process.stdout.close()
        if PREFIX in known():  # it came between `up` and `down`
            Lab.find(PREFIX).down()
        assert not list(NETNS.glob(f"{PREFIX}-*"))


def test_the_mtu_of_the_transit_can_be_another_one() -> None:
    with Lab.up(Layout(prefix=PREFIX, mtu=1400, transit_mtu=1280)) as lab:
        assert _mtu(lab, "in1", "eth0") == 1400
        assert _mtu(lab, "gw1", "outside") == 1280


def test_wires_for_xdp_finish_checksums_towards_the_gateways_and_take_frames() -> None:
    with Lab.up(Layout(prefix=PREFIX, xdp=True)) as lab:
        assert _features(lab, "gw1-inside") == _features(lab, "gw1-outside") == ("off", "on")
        assert _features(lab, "in1")[0] == "on"


def test_the_command_line_builds_shows_enters_and_removes_a_lab() -> None:
    def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = "from ipmasq.lab.cli import app; app()"
        command = [sys.executable, "-c", program, *arguments, "--prefix", PREFIX]
        if "--" in arguments:
            at = arguments.index("--")
            command = [sys.executable, "-c", program, "exec", "--prefix", PREFIX]
            command += [*arguments[1:at], "--", *arguments[at + 1 :]]
        return subprocess.run(command, capture_output=True, text=True)

    up = lab("up", "--gateways", "2")
    assert (up.returncode, "203.0.113.2/24" in up.stdout) == (0, True)
    again = lab("up")
    assert (again.returncode, "is up already" in again.stderr) == (1, True)
    status = lab("status")
    assert (status.returncode, "far2" in status.stdout) == (0, True)
    assert lab("exec", "in1", "--", "sh", "-c", "exit 3").returncode == 3
    addresses = lab("exec", "in2", "--", "ip", "-j", "-4", "address", "show", "eth0")
    assert json.loads(addresses.stdout)[0]["addr_info"][0]["local"] == "10.0.0.3"
    unknown = lab("exec", "in9", "--", "true")
    assert (unknown.returncode, "there is no host 'in9'" in unknown.stderr) == (1, True)
    assert lab("down").returncode == 0
    nothing = lab("down")
    assert (nothing.returncode, "nothing to remove" in nothing.stdout) == (0, True)
    assert lab("status").returncode == 1


@pytest.mark.parametrize(
    ("more", "plane"), [((), "tc on inside"), (("--xdp",), "tc+xdp on inside")]
)
def test_a_lab_with_gateways_that_run_connects_both_private_networks_with_the_outside(
    more: tuple[str, ...], plane: str
) -> None:
    ipmasq = str(Path(sys.executable).with_name("ipmasq"))

    def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([ipmasq, "lab", *arguments], capture_output=True, text=True)

    up = lab("up", "--prefix", PREFIX, "--gateways", "2", "--run", *more)
    assert up.returncode == 0, up.stderr
    found = Lab.find(PREFIX)
    assert reaches(found, "in1", "out1")
    assert reaches(found, "far1", "out1")
    assert not reaches(found, "out1", "in1")
    flows = lab("exec", "--prefix", PREFIX, "gw2", "--", "ipmasq", "show", "flows", "--json")
    assert "10.0.0.2" in flows.stdout, flows.stderr
    status = lab("exec", "--prefix", PREFIX, "gw2", "--", "ipmasq", "status", "--json")
    assert plane in json.loads(status.stdout)["plane"]
    assert lab("down", "--prefix", PREFIX).returncode == 0


def _features(lab: Lab, port: str) -> tuple[str, ...]:
    """Of a port of the switch: whether it leaves checksums unfinished, and receives in bundles."""
    switch = NETNS / lab.plan.namespace(SWITCH)
    command = ["nsenter", f"--net={switch}", "ethtool", "-k", port]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    values = dict(line.strip().split(": ", 1) for line in shown.splitlines() if ": " in line)
    return values["tx-checksumming"], values["generic-receive-offload"]


def _mtu(lab: Lab, host: str, interface: str) -> int:
    command = ["ip", "-j", "link", "show", interface]
    shown = lab.run(host, command, capture_output=True, check=True)
    return int(json.loads(shown.stdout)[0]["mtu"])


def test_the_record_is_where_the_documentation_says() -> None:
    with Lab.up(Layout(prefix=PREFIX)):
        assert Path(f"/run/ipmasq-lab/{PREFIX}/lab.json").exists()
