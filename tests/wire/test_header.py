"""The layouts of both families say where the same fields stand."""

from __future__ import annotations

import pytest

from ipmasq.wire.addresses import Address, to_address
from ipmasq.wire.header import IPV4, IPV6, OF_KEY, Family, Header
from tests.conformance import packets
from tests.wire import six

PORTS = bytes((1, 2, 3, 4))
SOURCES = {4: to_address("10.0.0.2"), 6: to_address("2001:db8::2")}
DESTINATIONS = {4: to_address("198.51.100.7"), 6: to_address("2001:db8:7::1")}


def packet(family: Family, ttl: int = 64) -> bytes:
    ends = SOURCES[family.version], DESTINATIONS[family.version]
    if family is IPV4:
        return packets.ip(*ends, 17, PORTS + bytes(4), ttl=ttl)
    return six.ip(*ends, 17, PORTS + bytes(4), hop_limit=ttl)


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["IPv4", "IPv6"])
def test_a_slice_of_a_packet_is_the_key_of_its_flow(family: Family):
    data = packet(family)
    ends: Address = SOURCES[family.version] + DESTINATIONS[family.version]
    assert data[family.addresses] == ends
    assert data[family.key] == ends + PORTS
    assert OF_KEY[len(data[family.key])] is family


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["IPv4", "IPv6"])
def test_the_key_ends_where_the_ports_do(family: Family):
    assert family.key.stop == family.length + len(PORTS)


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["IPv4", "IPv6"])
def test_the_time_to_live_is_one_byte(family: Family):
    one, other = packet(family, ttl=9), packet(family, ttl=200)
    assert (one[family.ttl], other[family.ttl]) == (9, 200)


def test_only_ipv4_has_a_checksum_of_its_header():
    data = bytearray(packet(IPV4))
    assert IPV4.checksum is not None
    before = bytes(data[IPV4.checksum : IPV4.checksum + 2])
    assert before != b"\0\0"
    assert IPV6.checksum is None


@pytest.mark.parametrize(
    ("more", "offset", "is_fragment"),
    [(False, 0, False), (True, 0, True), (False, 8, True), (True, 8, True)],
)
def test_a_fragment_has_an_offset_or_more_to_come(more: bool, offset: int, is_fragment: bool):
    header = Header(20, 28, 1, False, more, offset, 64, 17, bytes(4), bytes(4))
    assert header.is_fragment is is_fragment
