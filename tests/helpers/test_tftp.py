"""TFTP: which datagrams announce that an answer will come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.events import HelperFailed
from ipmasq.core.helper import UDP
from ipmasq.core.policy import Action, Behaviour, Forward, HelperUse, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.speaker import Speaker
from ipmasq.helpers.tftp import Tftp
from ipmasq.testing import CLIENT, SERVER, Talk
from tests.conformance.world import E1, E2, IN1, OUT1, OUT2, World

READ = b"\x00\x01boot/pxelinux.0\x00octet\x00"
WITH_OPTIONS = READ + b"tsize\x000\x00blksize\x001468\x00"
TFTP = HelperUse("tftp", Tftp, UDP, frozenset((69,)), orthogonal=True)
DATA = b"\x00\x03\x00\x01" + bytes(512)

requests = pytest.mark.parametrize(
    "request_",
    [
        READ,
        WITH_OPTIONS,
        b"\x00\x02a\x00NetASCII\x00",
        "\0\1grün\0octet\0".encode(),
        b"\x00\x01a\x00octet\x00windowsize\x0016\x00",
        b"\x00\x01a b\x00mail\x00",
    ],
)


@requests
@pytest.mark.parametrize("masqueraded", [(CLIENT,), (SERVER,), (CLIENT, SERVER), ()])
def test_a_request_expects_the_answer_at_its_own_endpoint_and_passes(
    request_: bytes, masqueraded: tuple[Speaker, ...]
):
    talk = Talk(Tftp(), masqueraded=masqueraded)
    (opened,) = talk.datagram(CLIENT, request_).unchanged().opened
    assert (opened.announced, opened.protocol) == (talk.ends.client, UDP)


@pytest.mark.parametrize(
    "other",
    [
        DATA,
        b"\x00\x04\x00\x01",
        b"\x00\x05\x00\x01not found\x00",
        b"\x00\x06tsize\x00100\x00",
        READ[:-1],
        READ + b"x",
        READ + b"tsize\x00",
        b"\x00\x01\x00octet\x00",
        b"\x00\x01a\x00binary\x00",
        b"\x00\x01a\nb\x00octet\x00",
        b"\x00\x01" + b"a" * 256 + b"\x00octet\x00",
        b"\x00\x03" + READ[2:],
        b"x" + READ,
        b"",
        b"\x00\x01\x00\x18\x21\x12\xa4\x42"
        + bytes(12)
        + b"\x00\x06\x00\x0eoctet\x00a\x00octet\x00",
    ],
)
def test_anything_else_expects_nothing(other: bytes):
    talk = Talk(Tftp(), masqueraded=CLIENT)
    talk.datagram(CLIENT, READ).opens("10.0.0.2:40000")
    talk.datagram(CLIENT, other).passes()


@requests
def test_a_server_does_not_request(request_: bytes):
    talk = Talk(Tftp(), masqueraded=SERVER)
    talk.datagram(SERVER, request_).passes()


def test_a_request_longer_than_any_is_not_read():
    options = b"o\x00v\x00" * 16
    assert len(READ + options) < 512
    talk = Talk(Tftp(), masqueraded=CLIENT)
    talk.datagram(CLIENT, READ + options).unchanged().opens("10.0.0.2:40000")
    long = (
        b"\x00\x01"
        + b"a" * 250
        + b"\x00octet\x00"
        + (b"o" * 60 + b"\x00" + b"v" * 60 + b"\x00") * 3
    )
    assert len(long) > 512
    talk.datagram(CLIENT, long).passes()


@given(st.lists(st.tuples(st.sampled_from(Speaker), st.binary(max_size=60)), max_size=8))
def test_any_bytes_are_survived(said: list[tuple[Speaker, bytes]]):
    talk = Talk(Tftp(), masqueraded=CLIENT)
    for speaker, data in said:
        talk.datagram(speaker, data).unchanged()


# -- in the gateway


@pytest.mark.parametrize("helpers", [(), (TFTP,)], ids=["without", "with"])
def test_behind_a_strict_filter_a_client_gets_its_file_with_the_helper_alone(helpers):
    world = World(helpers=helpers, filtering=Behaviour.ADDRESS_AND_PORT_DEPENDENT)
    public = world.udp(IN1, 4000, OUT1, 69, payload=WITH_OPTIONS).leaves_from(E1)
    world.udp(OUT2, 5555, *public, payload=DATA).is_dropped(Reason.FILTERED)
    answer = world.udp(OUT1, 5555, *public, payload=DATA)
    if not helpers:
        answer.is_dropped(Reason.FILTERED)
        return
    assert answer.reaches(IN1, 4000).payload == DATA
    assert world.udp(IN1, 4000, OUT1, 5555, payload=b"\0\4\0\1").leaves_from(E1) == public
    world.udp(OUT1, 6666, *public, payload=DATA).is_dropped(Reason.FILTERED)
    assert world.events(HelperFailed) == []


@pytest.mark.parametrize("helpers", [(), (TFTP,)], ids=["without", "with"])
def test_a_published_server_that_may_open_nothing_itself_answers_with_the_helper_alone(helpers):
    """From the public address by which its client knows it."""
    forward = Forward("tftp", UDP, None, PortRange(69, 69), IN1, 69)
    world = World(helpers=helpers, forwards=(forward,), default_action=Action.DROP, public=(E1, E2))
    world.udp(OUT1, 4000, E2, 69, payload=READ).reaches(IN1, 69)
    answer = world.udp(IN1, 5555, OUT1, 4000, payload=DATA)
    if not helpers:
        answer.is_dropped(Reason.RULE_DROP)
        return
    public = answer.leaves_from(E2)
    world.udp(OUT1, 4000, *public, payload=b"\0\4\0\1").reaches(IN1, 5555)
    world.udp(IN1, 5556, OUT1, 4000, payload=DATA).is_dropped(Reason.RULE_DROP)
