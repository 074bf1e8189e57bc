"""Two gateways between one inside and one outside host, and a store that they share.

    in 10.0.0.2 ---+--- gw1 10.0.0.11 / 203.0.113.11 ---+--- out 203.0.113.2
                   +--- gw2 10.0.0.12 / 203.0.113.12 ---+
    store 192.168.9.1 --- gw1 192.168.9.11, gw2 192.168.9.12

10.0.0.1 and 203.0.113.50 belong to the active one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import redis
from pyroute2 import netns

from ipmasq.continuity.lease import key
from tests.live.conftest import run
from tests.namespaces import within

INSIDE, REMOTE = "10.0.0.2", "203.0.113.2"
GATEWAY, PUBLIC = "10.0.0.1", "203.0.113.50"
STORE = "192.168.9.1"
PORT = 6379
VOTES = 7343
NAMES = ("gw1", "gw2")
IPMASQ = str(Path(sys.executable).with_name("ipmasq"))
KEEPALIVED = Path(__file__).parents[3] / "contrib" / "keepalived"


def eventually(true: Callable[[], object], limit: float = 30.0) -> float:
    """Wait for a condition, and return how long that took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() < begun + limit, "this did not happen"
        time.sleep(0.005)
    return time.monotonic() - begun


class Pair:
    names: tuple[str, ...] = NAMES
    hosts: tuple[str, ...] = ("st", "in", "out")
    url = f"redis://{STORE}:{PORT}"
    """Where the gateways find the store."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.prefix = f"ipmha{os.getpid()}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._undo = ExitStack()

    def name(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    def ip(self, host: str, command: str) -> None:
        run(*within(self.name(host), "ip", *command.split()))

    @contextmanager
    def at(self, host: str) -> Iterator[None]:
        """What is opened in here by this thread is that host's."""
        netns.pushns(self.name(host))
        try:
            yield
        finally:
            netns.popns()

    # -- the network

    def up(self) -> None:
        for host in (*self.hosts, *self.names):
            run("ip", "netns", "add", self.name(host))
            self._undo.callback(run, "ip", "netns", "del", self.name(host))
            self.ip(host, "link set lo up")
        for bridge in ("inside", "outside", "between"):
            self.ip("st", f"link add {bridge} type bridge forward_delay 0")
            self.ip("st", f"link set {bridge} up")
        self.ip("st", f"addr add {STORE}/24 dev between")
        self.cable("in", "eth", "inside", f"{INSIDE}/24")
        self.cable("out", "eth", "outside", f"{REMOTE}/24")
        self.ip("in", f"route add default via {GATEWAY}")
        for number, name in enumerate(self.names, 11):
            self.cable(name, "gi", "inside", f"10.0.0.{number}/24")
            self.cable(name, "go", "outside", f"203.0.113.{number}/24")
            self.cable(name, "gm", "between", f"192.168.9.{number}/24")

    def cable(self, host: str, device: str, bridge: str, address: str) -> None:
        port = f"{host}-{device}"
        self.ip("st", f"link add {port} type veth peer name {device} netns {self.name(host)}")
        self.ip("st", f"link set {port} master {bridge}")
        self.ip("st", f"link set {port} up")
        self.ip(host, f"addr add {address} dev {device}")
        self.ip(host, f"link set {device} up")

    def cut(self, name: str, *devices: str) -> None:
        """Pull cables of a gateway."""
        for device in devices or ("gi", "go", "gm"):
            self.ip("st", f"link set {name}-{device} down")

    def down(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        self._undo.close()

    # -- processes

    def start(self, host: str, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.log").open("ab") as log:
            started = subprocess.Popen(within(self.name(host), *command), stdout=log, stderr=log)
        self.processes[name] = started
        return started

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        process.wait(10)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    # -- the store

    def start_store(self, *options: str) -> None:
        command = ("redis-server", "--bind", STORE, "--port", str(PORT), "--save", "")
        self.start("st", "store", *command, "--protected-mode", "no", *options)
        eventually(lambda: self.store(lambda client: client.ping()))

    def store(self, use: Callable[[Any], Any]) -> Any:
        """Do something with a client of the store; None if it does not answer."""
        with self.at("st"):
            client = redis.Redis(STORE, PORT, socket_timeout=2)
            try:
                return use(client)
            except (redis.ConnectionError, redis.TimeoutError):
                return None
            finally:
                client.close()

    @property
    def stream(self) -> str:
        return key("pair", "stream")

    # -- the gateways

    def start_gateway(self, name: str, plane: str = "tun", **settings: object) -> None:
        (self.directory / "ha.key").write_text("0123456789abcdef" * 4)
        (self.directory / "ha.key").chmod(0o600)
        (self.directory / f"{name}.toml").write_text(self.configuration(name, plane, settings))
        run_directory = self.directory / f"run-{name}"
        run_directory.mkdir(exist_ok=True)
        self.start(name, name, IPMASQ, "run", "--log", "text", str(self.directory / f"{name}.toml"))
        eventually(lambda: self.status(name), 60)

    def configuration(self, name: str, plane: str, settings: dict[str, object]) -> str:
        number = NAMES.index(name) + 11
        more = "".join(f"{setting} = {json.dumps(value)}\n" for setting, value in settings.items())
        return f"""\
            [gateway]
            inside = ["gi"]
            outside = "go"
            public = ["{PUBLIC}"]
            plane = "{plane}"
            ports = "20000-40000"
            filtering = "endpoint-independent"
            port_hold = 0
            [[forward]]
            port = 2121
            to = "{INSIDE}:21"
            [helper.ftp]
            ports = [21, 2121]
            [control]
            socket = "{self.directory}/{name}.sock"
            [ha]
            group = "pair"
            store = "{self.url}"
            key_file = "{self.directory}/ha.key"
            name = "{name}"
            votes = "192.168.9.{number}:{VOTES}"
            {more}"""

    def ask(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        path = str(self.directory / f"{name}.sock")
        return subprocess.run(
            [IPMASQ, *command, "--socket", path], capture_output=True, text=True, check=False
        )

    def status(self, name: str) -> dict[str, Any]:
        done = self.ask(name, "ha", "status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def flows(self, name: str) -> list[dict[str, Any]]:
        found = json.loads(self.ask(name, "show", "flows", "--json").stdout)
        return found if isinstance(found, list) else [found]

    def follows(self, name: str) -> bool:
        """Whether a standby has everything."""
        found = self.status(name)
        return bool(found) and found["complete"] and found["records"] > 0

    def activate(self, name: str) -> None:
        """What keepalived does: move the addresses, tell the neighbours, call the notify script."""
        self.ip(name, f"addr add {GATEWAY}/24 dev gi")
        self.ip(name, f"addr add {PUBLIC}/24 dev go")
        done = self.ask(name, "ha", "active", "--wait", "5")
        assert done.returncode == 0, done.stderr + self.log(name)
        for device, address in (("gi", GATEWAY), ("go", PUBLIC)):
            with self.at(name):
                announce(device, address)

    def retire(self, name: str) -> None:
        """What keepalived does on the machine that loses the addresses."""
        self.ip(name, f"addr del {GATEWAY}/24 dev gi")
        self.ip(name, f"addr del {PUBLIC}/24 dev go")
        assert self.ask(name, "ha", "standby").returncode == 0


def announce(device: str, address: str) -> None:
    """Send a gratuitous ARP request (RFC 5944, 4.6) from this namespace."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0806) as raw:
        raw.bind((device, 0x0806))
        own, ip = raw.getsockname()[4], socket.inet_aton(address)
        head = b"\xff" * 6 + own + bytes.fromhex("0806 0001 0800 0604 0001")
        raw.send(head + own + ip + bytes(6) + ip)


P = TypeVar("P", bound=Pair)


def pair(directory: Path) -> AbstractContextManager[Pair]:
    return standing(Pair(directory))


@contextmanager
def standing(made: P) -> Iterator[P]:
    try:
        made.up()
        yield made
    finally:
        made.down()
