"""The network in which attacks happen: a lab with one gateway, and what attacks need around it.

    in1 10.0.0.2   in2 10.0.0.3   in3 10.0.0.4        out1 198.51.100.1   out2 198.51.100.2
          └────────────┴──────┬─────┘                          └──────┬──────┘
                       10.0.0.1 gw1 203.0.113.1 ── 203.0.113.254 net ─┘
                          10.1.0.1 └── 10.1.0.2 guest (if asked for)

`in1` and `out1` are the victims, `in3` a neighbour whose pings are measured. Attackers sit on `in2` and on
`net`, next to the gateway, and can write any source into their packets (`inside`, `outside`). Two
addresses belong to nobody (`GHOST_IN`, `GHOST_OUT`): packets to them arrive at `in2` and `net` and are
answered by no network stack, so that an attack can be both ends of a connection.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from ipmasq.lab import Lab, Layout
from ipmasq.lab.build import inside as in_namespace
from tests.hostile.gateway import Gateway, Settings
from tests.hostile.wire import ETH_P_ALL, Tap, Wire, packet_socket
from tests.namespaces import within

PLANES = ("tun", "ebpf-tc", "ebpf-xdp")
CLIENT, ATTACKER, NEIGHBOUR, GHOST_IN = "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.77"
SERVER, STRANGER, GHOST_OUT = "198.51.100.1", "198.51.100.2", "198.51.100.77"
INSIDE_GATEWAY, PUBLIC = "10.0.0.1", "203.0.113.1"
GUEST, GUEST_GATEWAY = "10.1.0.2", "10.1.0.1"
HOSTS = {CLIENT: "in1", ATTACKER: "in2", NEIGHBOUR: "in3", SERVER: "out1", STRANGER: "out2"}
NOWHERE = "02:00:00:00:00:01"
TCP_REPAIR = 19


class Pings(NamedTuple):
    sent: int
    times: list[float]
    """Milliseconds, of those that were answered."""

    @property
    def lost(self) -> int:
        return self.sent - len(self.times)

    @property
    def median(self) -> float:
        return statistics.median(self.times) if self.times else float("inf")

    @property
    def most(self) -> float:
        """What nine in ten of them took at most."""
        return sorted(self.times)[len(self.times) * 9 // 10] if self.times else float("inf")

    def __str__(self) -> str:
        return f"{self.lost} of {self.sent} pings lost, median {self.median:.2f} ms"


class Network:
    """A lab and its gateway; `close` removes all of it."""

    def __init__(self, plane: str, name: str = "") -> None:
        self.plane = plane
        self._ends = ExitStack()
        prefix = name or f"hostile{os.getpid()}{plane.replace('-', '')}"
        layout = Layout(prefix=prefix, inside=3, outside=2, xdp="xdp" in plane)
        self.lab = self._ends.enter_context(Lab.up(layout))
        try:
            self.namespaces = {host.name: f"{prefix}-{host.name}" for host in self.lab.plan.hosts}
            self._populate()
            self.inside = self._wire("in2", "eth0", "inside")
            self.outside = self._wire("net", "transit", "outside")
            self._leaks = self.tap("net", "transit")
        except BaseException:
            self.close()
            raise
        self.guest: Wire | None = None
        self.gateway: Gateway

    def close(self) -> None:
        self._ends.close()

    def _populate(self) -> None:
        attacker = self._mac_text("in2", "eth0")
        self.ip("gw1", f"neigh replace {GHOST_IN} lladdr {attacker} dev inside nud permanent")
        self.ip("net", f"neigh replace {GHOST_OUT} lladdr {NOWHERE} dev far nud permanent")

    @contextmanager
    def serving(self, settings: Settings, guest: bool = False) -> Iterator[Gateway]:
        """A gateway with these settings, meanwhile; and a second inside network, if asked for."""
        with ExitStack() as ends:
            if guest:
                self.guest = ends.enter_context(self._second_network())
            self.gateway = Gateway(self.lab, self.plane, settings)
            ends.callback(self.gateway.stop)
            list(self._leaks.packets())
            yield self.gateway

    @contextmanager
    def _second_network(self) -> Iterator[Wire]:
        namespace = f"{self.lab.prefix}-guest"
        run("ip", "netns", "add", namespace)
        self.namespaces["guest"] = namespace
        try:
            self.ip("gw1", f"link add guest type veth peer name eth0 netns {namespace}")
            self.ip("gw1", f"addr add {GUEST_GATEWAY}/24 dev guest")
            self.ip("gw1", "link set guest up")
            self.ip("guest", f"addr add {GUEST}/24 dev eth0")
            self.ip("guest", "link set lo up")
            self.ip("guest", "link set eth0 up")
            self.ip("guest", f"route add default via {GUEST_GATEWAY}")
            if "xdp" in self.plane:
                with self.at("guest"):
                    run("ethtool", "-K", "eth0", "tx", "off", "gro", "on")
            for interface in ("inside", "guest"):
                self.sysctl("gw1", f"ipv4/conf/{interface}/rp_filter", 1)
            wire = self._wire("guest", "eth0", "guest")
            yield wire
            wire.close()
        finally:
            del self.namespaces["guest"]
            self.sysctl("gw1", "ipv4/conf/inside/rp_filter", 0)
            subprocess.run(["ip", "netns", "del", namespace], check=False)
            with suppress(subprocess.CalledProcessError, AssertionError):
                self.ip("gw1", "link del guest")

    @contextmanager
    def firewall(self, rules: str) -> Iterator[None]:
        """The gateway's host has these rules (nft) meanwhile."""
        self._nft("-f", "-", rules=rules)
        try:
            yield
        finally:
            self._nft("flush", "ruleset")

    def _nft(self, *arguments: str, rules: str = "") -> None:
        with self.at("gw1"):
            done = subprocess.run(
                ["nft", *arguments], input=rules, capture_output=True, text=True, check=False
            )
        assert done.returncode == 0, done.stderr

    # -- hosts

    @contextmanager
    def at(self, host: str) -> Iterator[None]:
        """What is opened in here is that host's."""
        with in_namespace(self.namespaces[host]):
            yield

    def ip(self, host: str, command: str) -> str:
        return run(*within(self.namespaces[host], "ip", *command.split()))

    def sysctl(self, host: str, name: str, value: object) -> None:
        with self.at(host), open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
            file.write(str(value))

    def _mac(self, host: str, interface: str) -> bytes:
        with self.at(host), packet_socket(interface) as raw:
            return bytes(raw.getsockname()[4])

    def _mac_text(self, host: str, interface: str) -> str:
        return self._mac(host, interface).hex(":")

    def _wire(self, host: str, interface: str, to: str) -> Wire:
        gateway = self._mac("gw1", to)
        with self.at(host):
            wire = Wire(packet_socket(interface), gateway)
        self._ends.callback(wire.close)
        return wire

    def tap(self, host: str, interface: str) -> Tap:
        """Closed with the network, if nobody does it before."""
        with self.at(host):
            tap = Tap(packet_socket(interface, ETH_P_ALL))
        self._ends.callback(tap.close)
        return tap

    def received(self, host: str, interface: str) -> int:
        """Bytes that have come in at an interface, frames included."""
        with self.at(host), open("/proc/thread-self/net/dev", encoding="ascii") as file:
            found = re.search(rf"^\s*{interface}:\s*(\d+)", file.read(), re.MULTILINE)
        assert found
        return int(found[1])

    def sent(self, host: str, interface: str) -> int:
        """Packets that have gone out of an interface."""
        with self.at(host), open("/proc/thread-self/net/dev", encoding="ascii") as file:
            found = re.search(rf"^\s*{interface}:\s*(.+)$", file.read(), re.MULTILINE)
        assert found
        return int(found[1].split()[9])

    # -- sockets of real network stacks

    def udp(self, address: str, port: int = 0, host: str = "") -> socket.socket:
        with self.at(host or HOSTS[address]):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, port))
        made.settimeout(2)
        return made

    def listen(self, address: str, port: int, host: str = "") -> socket.socket:
        with self.at(host or HOSTS[address]):
            made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen(64)
        made.settimeout(5)
        return made

    def tcp(self, source: str, port: int = 0) -> socket.socket:
        """Bound, not connected yet."""
        with self.at(HOSTS[source]):
            made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((source, port))
        made.settimeout(5)
        return made

    @contextmanager
    def connection(
        self, port: int, client: str = CLIENT, source: int = 0
    ) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A connection from inside to `SERVER`, seen from both ends. Raises OSError."""
        with self.listen(SERVER, port) as listener, self.tcp(client, source) as near:
            near.connect((SERVER, port))
            far = listener.accept()[0]
            far.settimeout(5)
            with far:
                yield near, far

    @contextmanager
    def datagrams(self, port: int = 5000) -> Iterator[Datagrams]:
        """A living UDP flow between `CLIENT` and `SERVER`."""
        with self.udp(CLIENT) as near, self.udp(SERVER, port) as far:
            flow = Datagrams(near, far, port)
            if not (flow.ask() and flow.ask() and flow.ask()):
                raise TimeoutError("no datagram passes")
            yield flow

    # -- what a neighbour notices

    def ping(self, count: int = 20, interval: float = 0.02, host: str = "in3") -> Pings:
        """From a host inside to `SERVER`."""
        arguments = ["ping", "-n", "-c", str(count), "-i", str(interval), "-W", "2", SERVER]
        done = self.lab.run(host, arguments, capture_output=True, text=True)
        return Pings(count, [float(each) for each in re.findall(r"time=([\d.]+) ms", done.stdout)])

    def trouble(self) -> str:
        """Whether the gateway still forwards for everybody: one sentence if not, else nothing."""
        if self.ping(3, 0.2).lost == 3:
            return "no ping passes any more"
        try:
            with self.datagrams(5900):
                pass
        except TimeoutError:
            return "no datagram passes any more"
        try:
            with self.connection(5901) as (near, far):
                converse(near, far)
        except OSError as error:
            return f"no TCP connection passes any more ({error})"
        return ""

    def leaks(self) -> list[str]:
        """Inside addresses that were seen outside since the gateway started."""
        found = {".".join(map(str, p[12:16])) for p in self._leaks.packets() if p[12:13] == b"\x0a"}
        return sorted(found)


class Datagrams:
    def __init__(self, near: socket.socket, far: socket.socket, port: int) -> None:
        self.near, self.far, self.port = near, far, port
        self.source: int = near.getsockname()[1]
        self.public = ("", 0)
        """The client as the server sees it."""
        self._number = 0

    def ask(self, size: int = 8) -> bool:
        """Whether a datagram arrives and its answer comes back."""
        self._number += 1
        said = self._number.to_bytes(8, "big").ljust(size, b"?")
        try:
            self.near.sendto(said, (SERVER, self.port))
            for _ in range(1000):
                heard, self.public = self.far.recvfrom(65535)
                if heard == said:
                    break
            self.far.sendto(said, self.public)
            return any(self.near.recv(65535) == said for _ in range(1000))
        except TimeoutError:
            return False


def converse(near: socket.socket, far: socket.socket, said: bytes = b"hello\r\n") -> None:
    """A line each way. Raises OSError if one does not arrive."""
    near.sendall(said)
    expect(far, said)
    far.sendall(b"200 " + said)
    expect(near, b"200 " + said)


def expect(end: socket.socket, text: bytes) -> None:
    """Read exactly this. Raises OSError if it does not come."""
    heard = receive(end, len(text))
    if heard != text:
        raise OSError(f"{heard!r} arrived instead of {text!r}")


def receive(end: socket.socket, count: int) -> bytes:
    """So many bytes, or fewer if the other end has closed. Raises TimeoutError."""
    heard = b""
    while len(heard) < count:
        some = end.recv(count - len(heard))
        if not some:
            break
        heard += some
    return heard


def crash(end: socket.socket) -> None:
    """Close a TCP socket as a power failure would: its peer is told nothing."""
    end.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    end.close()


@contextmanager
def meanwhile(function: Callable[..., object], *arguments: object) -> Iterator[threading.Thread]:
    """`function` runs in a thread; it must end by itself. Its end is waited for."""
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(60)


def eventually(condition: Callable[[], object], patience: float = 5.0) -> bool:
    deadline = time.monotonic() + patience
    while True:
        if condition():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout


def failure(function: Callable[..., object], *arguments: object) -> str:
    """How it fails, as one sentence; nothing if it does not."""
    try:
        function(*arguments)
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return ""
