"""The rewriting half of a flow, which is the same code for both families: what it makes of IPv6 packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.ends import End, Ends
from ipmasq.core.flow import Flow
from ipmasq.core.side import Side
from ipmasq.core.translate import is_intact, translate
from ipmasq.wire import ip
from ipmasq.wire.addresses import Endpoint, to_address
from ipmasq.wire.header import IPV4, IPV6, Header
from ipmasq.wire.packet import Packet
from tests.core import tables
from tests.wire import six
from tests.wire.six import TCP, UDP, Extension, options

CLIENT = Endpoint(to_address("fd00:1::2"), 40000)
PUBLIC = Endpoint(to_address("2001:db8:1::1"), 61000)
SERVER = Endpoint(to_address("2001:db8:7::7"), 443)
SIDES = Side.INSIDE, Side.OUTSIDE

MAKE = {UDP: six.datagram, TCP: six.segment}

extensions = st.lists(
    st.builds(options, st.sampled_from((six.ROUTING, six.DESTINATION_OPTIONS)), st.integers(0, 2)),
    max_size=2,
)
protocols = pytest.mark.parametrize("protocol", [UDP, TCP], ids=["UDP", "TCP"])


def flow_of(protocol: int) -> Flow:
    return Flow(1, protocol, Ends(End(CLIENT, PUBLIC), End(SERVER, SERVER)), SIDES, 0.0)


def packet(
    source: Endpoint,
    destination: Endpoint,
    protocol: int,
    payload: bytes,
    chain: list[Extension],
    hop_limit: int = 64,
) -> bytearray:
    body = MAKE[protocol](source, destination, payload)
    return bytearray(
        six.ip(
            *(source.address, destination.address, protocol, body, chain, hop_limit), label=0xABCDEF
        )
    )


def header_of(data: bytearray) -> Header:
    header = ip.read(data)
    assert header is not None
    return header


@protocols
@given(payload=st.binary(max_size=60), chain=extensions)
def test_each_direction_becomes_what_the_other_end_would_have_been_sent(protocol, payload, chain):
    """Checksums included, and with the hop limit one less: nothing else changes."""
    flow = flow_of(protocol)
    for half, before, after in (
        (flow.original, (CLIENT, SERVER), (PUBLIC, SERVER)),
        (flow.reply, (SERVER, PUBLIC), (SERVER, CLIENT)),
    ):
        data = packet(*before, protocol, payload, chain)
        header = header_of(data)
        assert header.family is flow.family is IPV6
        translate(data, header.family, header.length, protocol, half, -1)
        assert data == packet(*after, protocol, payload, chain, hop_limit=63)


@protocols
@given(at=st.integers(0, 1 << 16), bit=st.integers(0, 7))
def test_a_packet_that_arrived_corrupt_leaves_corrupt(protocol: int, at: int, bit: int):
    data = packet(CLIENT, SERVER, protocol, bytes(range(20)), [])
    header = header_of(data)
    assert is_intact(Packet(data), header)
    data[header.length + 8 + at % (len(data) - header.length - 8)] ^= 1 << bit
    assert not is_intact(Packet(data), header)
    translate(data, header.family, header.length, protocol, flow_of(protocol).original, -1)
    assert not is_intact(Packet(data), header_of(data))


@protocols
def test_an_unfinished_checksum_stays_the_sum_of_the_pseudo_header(protocol: int):
    unfinished = []
    for source in (CLIENT, PUBLIC):
        data = packet(source, SERVER, protocol, b"", [])
        at = 40 + six.CHECKSUM_AT[protocol]
        length = len(data) - 40
        start = six.pseudo_header_sum(source.address, SERVER.address, protocol, length)
        data[at : at + 2] = start.to_bytes(2, "big")
        unfinished.append(data)
    before, after = unfinished
    translate(before, IPV6, 40, protocol, flow_of(protocol).original, 0, partial=True)
    assert before == after


def test_flows_of_both_families_are_found_in_one_table_by_a_slice_of_their_packets():
    table = tables.table()
    four = (
        Endpoint(to_address(each), port)
        for each, port in (("10.0.0.2", 40000), ("203.0.113.1", 61000), ("198.51.100.7", 443))
    )
    client, public, server = four
    old = Flow(1, UDP, Ends(End(client, public), End(server, server)), SIDES, 0.0)
    new = Flow(2, UDP, Ends(End(CLIENT, PUBLIC), End(SERVER, SERVER)), SIDES, 0.0)
    assert table.add(old)
    assert table.add(new)
    assert (old.family, new.family) == (IPV4, IPV6)
    data = packet(CLIENT, SERVER, UDP, b"", [])
    assert table.find(Side.INSIDE, UDP, bytes(data[IPV6.key])) is new.original
    data = packet(SERVER, PUBLIC, UDP, b"", [])
    assert table.find(Side.OUTSIDE, UDP, bytes(data[IPV6.key])) is new.reply
    assert new.host == CLIENT.address
    assert new.endpoints == (CLIENT, PUBLIC, SERVER, SERVER)
    table.check()
    table.remove(new)
    table.check()
    assert list(table.flows) == [1]
