"""Whatever a request says, it is answered by rows or by an error that was meant."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.control.answer import Peer
from ipmasq.control.control import REQUESTS, Control
from ipmasq.control.protocol import Kind, RequestError, line, read_request
from ipmasq.control.server import Access
from ipmasq.core.engine import Engine
from ipmasq.core.side import Side
from ipmasq.gateway.loop import Loop
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.control.running import IN1, OUT1, POLICY, StandIn

TEXTS = st.sampled_from(
    [
        "10.0.0.2",
        "10.0.0.2:5000",
        "198.51.100.1:53",
        "::1",
        "[::1]:9",
        "tcp",
        "udp",
        "icmp",
        "gre",
        "web",
        "finger",
        "1-65535",
        "65535-1",
        "0",
        "-1",
        "inside",
        "outside",
        "flow_opened",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=9)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner))


@pytest.fixture(scope="module")
def control() -> Control:
    loop = Loop()
    engine = Engine(POLICY, Random(1).randrange, loop.clock())
    engine.receive(Packet(bytearray(packets.udp(IN1, 5000, OUT1, 53))), Side.INSIDE, loop.clock())
    return Control(StandIn(engine, loop), loop, Access(Path("/nowhere")))


@pytest.mark.parametrize("name", REQUESTS)
@given(data=st.data())
def test_no_arguments_bring_the_gateway_out_of_step(
    control: Control, name: str, data: st.DataObject
):
    names = st.sampled_from([*REQUESTS[name][0].model_fields, "colour"])
    arguments = data.draw(st.dictionaries(names, VALUES, max_size=5))
    try:
        asked = read_request(line({"ipmasq": 1, "request": name, "arguments": arguments}))
    except ValueError:  # NaN and the infinities are no JSON
        return
    with suppress(RequestError):
        for row in islice(control.answer(*asked, Peer(1, 0, 0)), 50):
            if isinstance(row, dict):
                assert line(row)


@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_request_or_an_error(text: bytes):
    try:
        name, arguments = read_request(text)
    except RequestError:
        return
    assert isinstance(name, str)
    assert isinstance(arguments, dict)


@pytest.mark.parametrize("place", ["request", "name", "value", "within"])
def test_half_a_surrogate_pair_is_no_request(place: str):
    texts = {
        "request": '{"ipmasq": 1, "request": "\\ud800"}',
        "name": '{"ipmasq": 1, "request": "flows", "arguments": {"\\udfff": 1}}',
        "value": '{"ipmasq": 1, "request": "flows", "arguments": {"host": "\\ud800"}}',
        "within": '{"ipmasq": 1, "request": "events", "arguments": {"events": [["x\\ud800y"]]}}',
    }
    with pytest.raises(RequestError) as caught:
        read_request(texts[place].encode())
    assert caught.value.kind is Kind.MALFORMED


def test_a_whole_surrogate_pair_is_a_character():
    text = b'{"ipmasq": 1, "request": "flows", "arguments": {"helper": "\\ud83d\\ude00"}}'
    assert read_request(text) == ("flows", {"helper": "\U0001f600"})
