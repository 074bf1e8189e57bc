"""A real engine, a real loop and a real socket: a gateway in all but its plane."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from ipmasq.control.control import Control
from ipmasq.control.server import Access
from ipmasq.core.engine import Engine
from ipmasq.core.helper import Helper, HelperContext
from ipmasq.core.policy import Action, Forward, HelperUse, Policy, PortRange, Rule, Timeouts
from ipmasq.core.side import Side
from ipmasq.core.views import Passage
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.setup import SetupError
from ipmasq.gateway.usage import usage
from ipmasq.planes.fastpath import Counter
from ipmasq.wire.addresses import Address, to_address, to_network, to_text
from ipmasq.wire.packet import Packet
from tests.conformance import packets

IN1, IN2, OUT1, E1 = map(to_address, ("10.0.0.2", "10.0.0.3", "198.51.100.1", "203.0.113.1"))


class Finger(Helper):
    """Rewrites what a client asks for: enough to have rewrites, refusals and failures."""

    name, ports, orthogonal = "finger", (79,), True

    def on_line(self, line: bytes, context: HelperContext) -> None:
        if line.startswith(b"refuse"):
            context.refuse("asked for it")
        elif line.startswith(b"raise"):
            raise RuntimeError("no such luck")
        elif line.startswith(b"ask"):
            context.replace(0, 3, b"query\x1b")


FINGER = HelperUse("finger", Finger, 6, frozenset((79,)), True)

POLICY = Policy(
    inside=(to_network("10.0.0.0/16"),),
    public=(E1,),
    own=frozenset((E1,)),
    ports=PortRange(1024, 65535),
    rules=(Rule(Action.DROP, (), (to_network("198.51.100.99"),), text="drop to 198.51.100.99"),),
    forwards=(Forward("web", 6, None, PortRange(8080, 8080), IN2, 80),),
    helpers=(FINGER,),
)


class FirewallStandIn:
    found: tuple[Finding, ...] = ()


class StandIn:
    """The gateway's side of the control interface, around a bare engine."""

    def __init__(self, engine: Engine, loop: Loop) -> None:
        self.engine = engine
        self.loop = loop
        self.mistakes: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self.obstructed: tuple[str, ...] = ()
        self.availability = None
        self.firewall = FirewallStandIn()

    def status(self) -> Mapping[str, Any]:
        policy = self.engine.policy
        return {
            "version": "test",
            **usage(self.engine.table),
            "ports": str(policy.ports),
            "public": [to_text(address) for address in policy.public],
        }

    def policy_text(self) -> str:
        return '[gateway]\ninside = ["10.0.0.0/16"]\npublic = ["203.0.113.1"]\noutside = "eth0"\n'

    def reload(self) -> tuple[int, Sequence[str]]:
        if self.mistakes:
            raise SetupError(self.mistakes)
        return self.engine.apply(self.engine.policy, self.loop.clock()), ("a warning",)

    saved_path = "gateway.saved.toml"

    def review_forward(self, forward: Forward) -> Generator[None, None, Sequence[str]]:
        yield
        return self.warnings

    def add_forward(
        self, forward: Forward, save: bool = False, warnings: Sequence[str] = ()
    ) -> Sequence[str]:
        self.engine.add_forward(forward, self.loop.clock())
        return warnings

    def obstructions(self, of: Passage | Forward) -> Generator[None, None, Sequence[str]]:
        yield
        return self.obstructed if isinstance(of, Passage) else ()

    def remove_forward(self, name: str, save: bool = False) -> None:
        self.engine.remove_forward(name, self.loop.clock())

    def close(self, flow: int) -> bool:
        return self.engine.close(flow, self.loop.clock())

    def load_helper(
        self, name: str | None, file: str | None, ports: Sequence[int] | None, save: bool = False
    ) -> str:
        if name != "finger":
            raise KeyError(name)
        use = replace(FINGER, ports=frozenset(ports)) if ports else FINGER
        self.engine.load_helper(use, self.loop.clock())
        return name

    def reload_helper(self, name: str) -> None:
        self.load_helper(name, None, None)

    def unload_helper(self, name: str, save: bool = False) -> None:
        self.engine.unload_helper(name, self.loop.clock())

    counted: tuple[Counter, ...] = ()

    def fast_path(self) -> tuple[Counter, ...]:
        return self.counted

    def set_timeouts(self, timeouts: Timeouts) -> None:
        self.engine.apply(replace(self.engine.policy, timeouts=timeouts), self.loop.clock())


class Running:
    """`with running(path) as gateway`: the loop turns in a thread of its own; `do` does things there."""

    def __init__(
        self, path: Path, viewing: Path | None = None, doctor: Sequence[str] = (), **access: Any
    ) -> None:
        self.path = str(path)
        self.loop = Loop()
        self.engine = Engine(POLICY, Random(1).randrange, self.loop.clock())
        self.gateway = StandIn(self.engine, self.loop)
        self.control = Control(
            self.gateway,
            self.loop,
            Access(path, **access),
            Access(viewing) if viewing else None,
            doctor,
        )
        self._stop = threading.Event()
        self._wanted: list[tuple[Any, threading.Event, list[Any]]] = []

    def do(self, action: Any) -> Any:
        """Call it between two rounds of the loop, tell what happened, and return what it returns."""
        done, result = threading.Event(), []
        self._wanted.append((action, done, result))
        assert done.wait(30)
        return result[0]

    def send(self, packet: bytes, side: Side = Side.INSIDE) -> bytes:
        """Through the engine; what comes out first."""
        now = self.loop.clock()
        verdict = self.do(lambda: self.engine.receive(Packet(bytearray(packet)), side, now))
        return bytes(verdict.packets[0].data) if verdict.packets else b""

    def open_udp(self, source: Address = IN1, port: int = 5000, to: int = 53) -> int:
        """The number of a new flow."""
        self.send(packets.udp(source, port, OUT1, to))
        return max(self.engine.table.flows)

    def open_many(self, count: int) -> None:
        def open_all() -> None:
            for port in range(1024, 1024 + count):
                packet = Packet(bytearray(packets.udp(IN1, port, OUT1, 53)))
                self.engine.receive(packet, Side.INSIDE, self.loop.clock())

        self.do(open_all)

    def turn(self) -> None:
        while not self._stop.is_set():
            self.loop.later(0.005, lambda: None)
            self.loop.round()
            for action, done, result in self._wanted[:]:
                self._wanted.pop(0)
                result.append(action())
                self.publish()
                done.set()

    def publish(self) -> None:
        events = self.engine.events()
        if events:
            self.control.observe(events)

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def running(path: Path, viewing: Path | None = None, **options: Any) -> Iterator[Running]:
    gateway = Running(path, viewing, **options)
    gateway.control.open()
    thread = threading.Thread(target=gateway.turn, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        gateway.stop()
        thread.join(10)
        gateway.control.close()


def conversation(gateway: Running, lines: Sequence[bytes], port: int = 79) -> int:
    """A TCP connection of IN1 to OUT1 in which the client says these lines; the flow's number."""
    out, back = (IN1, 4000, OUT1, port), packets.SYN | packets.ACK
    public = packets.read(gateway.send(packets.tcp(*out, packets.SYN, 100))).source.port
    gateway.send(packets.tcp(OUT1, port, E1, public, back, 500, 101), Side.OUTSIDE)
    gateway.send(packets.tcp(*out, packets.ACK, 101, 501))
    at = 101
    for line in lines:
        gateway.send(packets.tcp(*out, packets.ACK, at, 501, line))
        at += len(line)
    return max(gateway.engine.table.flows)
