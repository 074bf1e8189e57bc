"""Packets of either family, by one door."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire import ip, ipv4, ipv6
from ipmasq.wire.header import IPV4, IPV6, Family
from tests.wire.test_header import packet


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["IPv4", "IPv6"])
def test_a_packet_is_read_by_its_version(family: Family):
    data = packet(family)
    header = ip.read(data)
    assert header is not None
    assert header.family is family
    assert header.source + header.destination == data[family.addresses]
    assert header.length == family.length


@given(st.binary(max_size=80))
def test_any_bytes_are_read_by_the_family_that_they_name(data: bytes):
    version = data[0] >> 4 if data else 0
    expected = {4: ipv4.read(data), 6: ipv6.read(data)}.get(version)
    assert ip.read(data) == expected


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("change", [-1, 0, 1])
def test_a_changed_time_to_live_changes_nothing_else_but_its_checksum(family: Family, change: int):
    data = bytearray(packet(family, ttl=9))
    ip.change_ttl(data, family, change)
    assert data == packet(family, ttl=9 + change)
