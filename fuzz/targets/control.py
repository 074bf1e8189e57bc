"""The control protocol: any bytes at the connection, and requests whose JSON is anything.

The first byte chooses. Every request is answered by rows and one end, in JSON of one line; none fails by the
gateway's own fault; what is kept for a client stays bounded, and a client that has gone leaves nothing.
"""

from __future__ import annotations

import json
import logging
import socket
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

from fuzz.choices import Choices
from ipmasq.control.connection import ENOUGH, Connection
from ipmasq.control.control import REQUESTS, Control
from ipmasq.control.protocol import MAX_REQUEST
from ipmasq.control.server import Access
from ipmasq.core.engine import Engine
from ipmasq.core.policy import PortRange
from ipmasq.core.side import Side
from ipmasq.gateway.loop import Loop
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.control.running import IN1, OUT1, POLICY, StandIn

MEASURED = tuple(
    f"ipmasq.control.{name}"
    for name in (
        *("answer", "answers", "arguments", "changes", "connection", "control", "gateway"),
        *("journal", "protocol", "views", "watching"),
    )
)
LONGEST = 160
FEW_PORTS = replace(POLICY, ports=PortRange(61000, 61063))
"""A pool of 64,512 takes longer to make than all else here."""
VALUES: tuple[object, ...] = (
    *("10.0.0.2", "10.0.0.2:5000", "198.51.100.1:53", "::1", "[::1]:9", "tcp", "udp", "icmp", "47"),
    *("web", "finger", "1-65535", "65535-1", "8080", "0", "-1", "inside", "outside", "flow_opened"),
    *("established", "", "\ud800", "\n\x1b[2J", "\0", "x" * 70, "٣", "1e3", "0x10"),
    *(None, True, False, 0, 1, -1, 80, 65535, 65536, 1 << 70, 0.5, -0.0, 1e308, [], {}, [1, "a"]),
    *(float("inf"), float("nan"), {"a": {"b": []}}, ["flow_opened", "no_such"], [80, 81], 60.0),
)


class Clock:
    """Of a loop, what `Control` asks for an answer."""

    def clock(self) -> float:
        return 1.0

    def later(self, seconds: float, callback: object) -> None:
        """Time does not pass, so nothing is called."""


class Failures(logging.Handler):
    """What a connection logs as the gateway's own failure."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            self.failures.append(record.exc_info[1])


FAILURES = Failures()
_log = logging.getLogger("ipmasq.control.connection")
_log.addHandler(FAILURES)


def one_input(data: bytes) -> None:
    choices = Choices(data)
    requests = choices(4) > 0
    loop = cast(Loop, Clock())
    engine = Engine(FEW_PORTS, Random(1).randrange, 0.0)
    for port in range(1 + choices(4)):
        packet = Packet(bytearray(packets.udp(IN1, 5000 + port, OUT1, 53)))
        engine.receive(packet, Side.INSIDE, 1.0)
    control = Control(StandIn(engine, loop), loop, Access(Path("/nowhere")))
    control.observe(engine.events())
    ours, theirs = socket.socketpair()
    client = Connection(theirs, control.answer, 1.0)
    try:
        ours.setblocking(False)
        told = bytearray()
        while choices.left > 0 and not client.gone:
            text = request(choices) if requests else choices.bytes(choices(256))
            said(ours, client, text, told)
            control.observe(engine.events())
            client.waiting = False
        if choices.data[-1:] < b"\x80":
            ours.shutdown(socket.SHUT_WR)
        said(ours, client, b"", told)
        _is_lawful(bytes(told))
        engine.check()
    finally:
        client.close()
        ours.close()
    assert client.gone
    assert not client.has_work


def said(ours: socket.socket, client: Connection, text: bytes, told: bytearray) -> None:
    """The client says this, and takes all that it is told."""
    if text:
        ours.send(text)
    for _ in range(400):
        if client.wants_to_read:
            client.read(1.0)
        if client.has_work:
            client.work(1.0)
        if client.wants_to_write:
            client.write(1.0)
        assert len(client._in) <= 2 * MAX_REQUEST
        assert len(client._out) <= 2 * ENOUGH
        told += _received(ours)
        if not client.has_work and not client.wants_to_write:
            break
    if FAILURES.failures:
        raise FAILURES.failures.pop()


def _received(ours: socket.socket) -> bytes:
    try:
        return ours.recv(1 << 20)
    except OSError:
        return b""


def _is_lawful(told: bytes) -> None:
    lines = told.split(b"\n")
    assert lines.pop() == b"", "half a line"
    for line in lines:
        assert line.isascii()
        message = json.loads(line, parse_constant=_no_json)
        assert len(message) == 1
        (kind,) = message
        assert kind in ("row", "done", "error")
        if kind == "error":
            assert message["error"]["kind"] != "failed", message


def _no_json(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def request(choices: Choices) -> bytes:
    """A request that exists, mostly, with arguments that it has, mostly, of any value."""
    name = choices.pick(tuple(REQUESTS)) if choices(16) else value(choices)
    known = isinstance(name, str) and name in REQUESTS
    fields = tuple(REQUESTS[name][0].model_fields) if known else ()
    arguments: Any = {}
    for _ in range(choices(4)):
        arguments[choices.pick(fields) if fields and choices(12) else "colour"] = value(choices)
    if choices(24) == 0:
        arguments = value(choices)
    message = {
        "ipmasq": 1 if choices(24) else value(choices),
        "request": name,
        "arguments": arguments,
    }
    return json.dumps(message).encode() + (b"\n" if choices(16) else b"")


def value(choices: Choices) -> Any:
    return choices.pick(VALUES)
