"""The helper in docs/writing-a-helper.md works as it stands there: alone, and in the gateway."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq import testing
from ipmasq.config.helpers import in_file, use
from ipmasq.config.model import HelperTable
from ipmasq.core.events import HelperFailed
from ipmasq.core.helper import UDP, Helper, Speaker
from ipmasq.testing import CLIENT, SERVER, Talk
from ipmasq.wire.addresses import Endpoint
from tests.conformance import conversation
from tests.conformance.conversation import Conversation
from tests.conformance.world import E1, IN1, OUT1, OUT2, World

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-helper.md"
EXAMPLE, ITS_TEST = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
SETUP = "SETUP rtsp://camera.example/1 RTSP/1.0"
TRANSPORT = "Transport: RTP/AVP;unicast;client_port=4588-4589"


@pytest.fixture(scope="module")
def rtsp(tmp_path_factory) -> type[Helper]:
    """Loaded from a file, as an operator does."""
    file = tmp_path_factory.mktemp("helper") / "rtsp.py"
    file.write_text(EXAMPLE, encoding="utf-8")
    return in_file(file)


def test_the_test_in_the_document_passes(rtsp):
    names = {"Rtsp": rtsp, **vars(testing)}
    exec(ITS_TEST, names)
    tests = [act for name, act in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_the_client_of_a_masqueraded_camera_is_expected_and_nothing_is_rewritten(rtsp):
    talk = Talk(rtsp(), masqueraded=SERVER)
    talk.client(SETUP).passes()
    heard = talk.client(TRANSPORT).unchanged().opens("198.51.100.7:4588", "198.51.100.7:4589")
    assert {opened.protocol for opened in heard.opened} == {UDP}


@pytest.mark.parametrize(
    "line",
    [
        "Transport: RTP/AVP/TCP;interleaved=0-1",
        "Transport: RTP/AVP;unicast;client_port=4588",
        "Transport: RTP/AVP;unicast;client_port=0-1",
        "Transport: RTP/AVP;unicast;client_port=65536-65537",
        "Transport: RTP/AVP;unicast;client_port=80-81",
        "X-Transport: RTP/AVP;unicast;client_port=4588-4589",
    ],
)
def test_another_transport_passes(rtsp, line):
    talk = Talk(rtsp(), masqueraded=CLIENT)
    talk.client(SETUP)
    talk.client(line).passes()


def test_a_transport_outside_of_setup_passes(rtsp):
    talk = Talk(rtsp(), masqueraded=CLIENT)
    talk.client(TRANSPORT).passes()
    talk.client(SETUP)
    talk.client("")
    talk.client(TRANSPORT).passes()


@given(st.lists(st.tuples(st.sampled_from(Speaker), st.binary(max_size=40)), max_size=10))
def test_any_bytes_are_survived(rtsp, said):
    talk = Talk(rtsp(), masqueraded=CLIENT)
    for speaker, data in said:
        for heard in talk.feed(speaker, data):
            heard.passes()


def test_in_the_gateway_a_camera_reaches_the_client_that_asked_it(rtsp):
    world = World(helpers=(use(rtsp, HelperTable()),))
    talk = Conversation(world, Endpoint(IN1, 40000), Endpoint(OUT1, 554))
    world.udp(OUT1, 9000, E1, 61000).is_dropped()

    talk.say(conversation.CLIENT, f"{SETUP}\r\n{TRANSPORT[:20]}".encode())
    talk.say(conversation.CLIENT, f"{TRANSPORT[20:]}\r\n\r\n".encode())

    told = re.search(rb"client_port=(\d+)-(\d+)\r\n\r\n$", talk.heard(conversation.SERVER))
    rtp, rtcp = map(int, told.groups())
    assert rtp not in (4588, rtcp)
    world.udp(OUT2, 9000, E1, rtp).is_dropped()
    world.udp(OUT1, 9000, E1, rtp).reaches(IN1, 4588)
    world.udp(OUT1, 9001, E1, rtcp).reaches(IN1, 4589)

    talk.say(
        conversation.SERVER,
        b"RTSP/1.0 200 OK\r\nTransport: RTP/AVP;client_port=%d-%d;x\r\n" % (rtp, rtcp),
    )
    assert talk.heard(conversation.CLIENT).endswith(b";client_port=4588-4589;x\r\n")
    assert world.events(HelperFailed) == []
