"""Three network namespaces, in - gw - out, for tests with the real kernel. They vanish with the test.

in 10.0.0.2 --- 10.0.0.1 (gi) gw (go) 203.0.113.1 --- 203.0.113.2 out
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import netns

from tests.live.forked import Forked
from tests.live.waiting import eventually
from tests.namespaces import within

INSIDE_HOST = "10.0.0.2"
INSIDE_GATEWAY = "10.0.0.1"
PUBLIC = "203.0.113.1"
REMOTE = "203.0.113.2"
POOL = "203.0.113.50"

CARRIER = 20.0
"""Seconds for which the carrier of a new link is waited for."""

_number = itertools.count()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout


class Network:
    def __init__(self) -> None:
        self.prefix = f"ipmt{os.getpid()}x{next(_number)}"
        self.names: list[str] = []

    def name(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    def up(self) -> None:
        for host in ("in", "gw", "out"):
            run("ip", "netns", "add", self.name(host))
            self.names.append(host)
            self.ip(host, "link set lo up")
        self.cable("in", INSIDE_HOST, "gi", INSIDE_GATEWAY)
        self.cable("out", REMOTE, "go", PUBLIC)
        self.ip("in", f"route add default via {INSIDE_GATEWAY}")

    def cable(self, host: str, address: str, interface: str, gateway: str) -> None:
        """Connect `eth` of a host with an interface of the gateway, both /24."""
        peer = self.name(host)
        self.ip("gw", f"link add {interface} type veth peer name eth netns {peer}")
        self.ip("gw", f"addr add {gateway}/24 dev {interface}")
        self.ip("gw", f"link set {interface} up")
        self.ip(host, f"addr add {address}/24 dev eth")
        self.ip(host, "link set eth up")
        assert self._is_connected(interface), f"{interface} has no carrier after {CARRIER} s"

    def _is_connected(self, interface: str) -> bool:
        """Wait until the kernel has processed that there is a carrier, which it does in a thread of its own, later
        if it is busy. Until then its routes have the flag `linkdown`, by which `trace` would differ."""
        deadline = time.monotonic() + CARRIER
        while "linkdown" in self.ip("gw", f"-4 route show table all dev {interface}"):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def ip(self, host: str, command: str) -> str:
        return run(*within(self.name(host), "ip", *command.split()))

    @contextmanager
    def at(self, host: str) -> Iterator[None]:
        """What is opened in here (sockets, files below /proc/sys/net) is that host's."""
        netns.pushns(self.name(host))
        try:
            yield
        finally:
            netns.popns()

    def start(self, host: str, *command: str, **options: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            within(self.name(host), *command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,  # type: ignore[call-overload]
        )

    def features(self, host: str, interface: str, *settings: str) -> None:
        """As `ethtool -K` has them: `tx off gro on`."""
        with self.at(host):
            run("ethtool", "-K", interface, *settings)

    def down(self) -> None:
        for host in self.names:
            subprocess.run(["ip", "netns", "del", self.name(host)], check=False)


def trace(network: Network) -> dict[str, str]:
    """Everything about the gateway host that a plane might have changed."""
    state = {
        "rules": network.ip("gw", "-d rule"),
        "rules, IPv6": network.ip("gw", "-6 -d rule"),
        "routes": network.ip("gw", "-4 -d route show table all"),
        "proxies": network.ip("gw", "neigh show proxy"),
        "links": "\n".join(
            line.split("state")[0] for line in network.ip("gw", "-o link").splitlines()
        ),
    }
    with network.at("gw"):
        for path in Path("/proc/sys/net/ipv4").rglob("*"):
            if path.is_file() and os.access(path, os.R_OK) and "random" not in path.name:
                try:
                    state[str(path)] = path.read_text()
                except OSError:
                    continue
    return state


class Running:
    """A gateway in a process of its own (`tests/live/small_gateway.py`)."""

    def __init__(
        self,
        network: Network,
        path: Path,
        settings: dict[str, object],
        before: tuple[str, ...] = (),
    ) -> None:
        """`before`: a command that runs it."""
        self.network = network
        self.path = path
        self.path.write_text(json.dumps(settings))
        self.process: Forked | subprocess.Popen[str]
        if before:
            script = Path(__file__).with_name("small_gateway.py")
            self.process = network.start("gw", *before, sys.executable, str(script), str(path))
        else:
            self.process = Forked(network.name("gw"), path)
        assert self.process.stdout
        self._said = ""
        while (line := self.process.stdout.readline()) != "ready\n":
            self._said += line
            assert line, self._said

    def reload(self, text: str) -> None:
        self.path.write_text(text)
        self.process.send_signal(signal.SIGHUP)

    def has_rule(self, text: str, *, gone: bool = False) -> bool:
        """Whether its routing rules come to say so (or, `gone`, not to). It has made them all when this
        returns: it makes one after another."""
        said = eventually(lambda: (text in self.network.ip("gw", "rule")) is not gone)
        self.ask()
        return said

    def reload_in_vain(self, text: str) -> None:
        """A file that it refuses; it has said so, and is back where it was, when this returns."""
        self.reload(text)
        assert self.process.stdout
        while "not reloaded: " not in (line := self.process.stdout.readline()):
            assert line, "it has ended"
            self._said += line
        self._said += line

    def ask(self) -> dict[str, Any]:
        """See `small_gateway.facts`."""
        self.process.send_signal(signal.SIGUSR1)
        assert self.process.stdout
        while not (line := self.process.stdout.readline()).startswith("{"):
            assert line, "it has ended"
            self._said += line
        return json.loads(line)

    def has_written(self) -> bool:
        """Whether it comes to have written all that it knows."""
        return eventually(lambda: bool(self.ask()["is_written"]))

    def said(self) -> str:
        """What it has said until now; empty if all is well."""
        self.ask()
        return self._said

    def stop(self, how: signal.Signals = signal.SIGTERM) -> str:
        """What it said; empty if all is well."""
        self.process.send_signal(how)
        return self._said + str(self.process.communicate(timeout=10)[0])


def says_only_what_it_undid(said: str) -> bool:
    """Whether all that a gateway said is what it undid of one that had been killed before it."""
    lines = said.splitlines()
    return len(lines) == 1 and "a gateway was killed here and had left its changes" in lines[0]


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    try:
        network.up()
        yield network
    finally:
        network.down()


@pytest.fixture
def gateway(network: Network, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts gateways; those that still run are ended after the test."""
    running: list[Running] = []

    def start(before: tuple[str, ...] = (), **settings: object) -> Running:
        running.append(Running(network, tmp_path / "gateway.json", settings, before))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate(timeout=10)


@pytest.fixture(params=["ebpf-tc", "ebpf-xdp"])
def fast(
    request: pytest.FixtureRequest, network: Network, gateway: Callable[..., Running]
) -> Running:
    """A gateway on each plane. A veth hands unfinished checksums to XDP, as no hardware does, and takes
    redirected frames only if its other end receives in bundles."""
    if request.param == "ebpf-xdp":
        for host in ("in", "out"):
            network.features(host, "eth", "tx", "off", "gro", "on")
    return gateway(plane=request.param)
