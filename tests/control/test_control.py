"""Whatever a request says, it is answered by rows or by an error that was meant."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from ipmasq.control.answer import Peer
from ipmasq.control.client import Client
from ipmasq.control.connection import Connection
from ipmasq.control.control import REQUESTS, Control
from ipmasq.control.protocol import Kind, RequestError, line, read_request
from ipmasq.control.server import Access
from ipmasq.core.engine import Engine
from ipmasq.core.side import Side
from ipmasq.gateway.loop import Loop
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.control.refusals import refusal
from tests.control.running import IN1, OUT1, POLICY, StandIn
from tests.control.values import JSON_TEXTS, VALUES


@pytest.fixture(scope="module")
def control() -> Control:
    loop = Loop()
    engine = Engine(POLICY, Random(1).randrange, loop.clock())
    engine.receive(Packet(bytearray(packets.udp(IN1, 5000, OUT1, 53))), Side.INSIDE, loop.clock())
    return Control(StandIn(engine, loop), loop, Access(Path("/nowhere")))


NAMES = {name: [*model.model_fields, "colour"] for name, (model, *_) in REQUESTS.items()}
"""Arguments of each request, and one that none has."""
MOST = max(map(len, NAMES.values()))


@given(values=st.lists(VALUES, max_size=5), order=st.permutations(range(MOST)))
def test_no_arguments_bring_the_gateway_out_of_step(
    control: Control, values: list[object], order: list[int]
):
    """Each request gets the same values, since most of the time is spent on making them."""
    for name, known in NAMES.items():
        arguments = dict(zip([known[at] for at in order if at < len(known)], values, strict=False))
        note(f"{name} {arguments}")
        ask(control, name, arguments)


def ask(control: Control, name: str, arguments: dict[str, object]) -> None:
    """Answer a request; what is refused is refused in its form."""
    try:
        asked = read_request(line({"ipmasq": 1, "request": name, "arguments": arguments}))
    except (ValueError, RequestError):  # NaN and the infinities are no JSON
        return
    with suppress(RequestError):
        for row in islice(control.answer(*asked, Peer(1, 0, 0)), 50):
            if isinstance(row, dict):
                assert line(row)


def answered(control: Control, text: bytes) -> list[dict[str, object]]:
    """What a client gets for this line, over a real socket, up to what ends it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        client = Connection(theirs, control.answer, 0.0)
        ours.sendall(text.replace(b"\n", b" ") + b"\n")
        client.read(0.0)
        for _ in range(50):
            if client.has_work:
                client.work(0.0)
        said = ours.recv(1 << 20, socket.MSG_DONTWAIT) if text.strip() else b""
        client.close()
    return [json.loads(each) for each in said.splitlines()]


ANSWERED = sorted(set(REQUESTS) - {"watch"})
"""`watch` rightly says nothing until something happens."""


REQUEST = st.fixed_dictionaries(
    {"ipmasq": st.just(1) | VALUES, "request": st.sampled_from(ANSWERED) | VALUES},
    optional={"arguments": VALUES | st.dictionaries(JSON_TEXTS, VALUES), "colour": VALUES},
)


@given(REQUEST | VALUES)
def test_any_json_gets_an_answer_that_can_be_encoded(control: Control, message: object):
    said = answered(control, json.dumps(message).encode())
    assert said
    assert set(said[-1]) <= {"done", "error", "row"}
    if "error" in said[-1]:
        error = said[-1]["error"]
        assert isinstance(error, dict)
        assert error["kind"] != "failed"
        assert error["message"].encode()


@pytest.mark.parametrize(
    "text",
    [
        b'{"ipmasq": 1, "request": "\\ud800"}',
        b'{"ipmasq": 1, "request": "forward_remove", "arguments": {"name": "a\\udfff"}}',
        b'{"ipmasq": 1, "request": "flows", "arguments": {"\\ud83d": 1}}',
        b'{"ipmasq": 1, "request": "flows", "arguments": {"helper": "\xed\xa0\x80"}}',
        b'{"ipmasq": "\\ud800", "request": "flows"}',
    ],
)
def test_half_of_a_surrogate_pair_is_malformed(control: Control, text: bytes):
    (said,) = answered(control, text)
    assert said["error"]["kind"] == "malformed"  # type: ignore[index]
    assert "surrogate" in said["error"]["message"]  # type: ignore[index]


def test_an_unknown_request_is_told_which_there_are(client: Client):
    error = refusal(client, "flow_")
    assert error.kind is Kind.UNKNOWN_REQUEST
    assert all(name in error.message for name in REQUESTS)
