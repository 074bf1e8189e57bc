"""Keys of flows and of endpoints."""

from __future__ import annotations

import pytest

from ipmasq.core.keys import (
    destination_of,
    endpoint_key,
    endpoint_of,
    pack,
    source_address,
    source_of,
)
from ipmasq.wire.addresses import Endpoint, to_address
from tests.conformance import packets
from tests.conformance.packets import UDP


@pytest.mark.parametrize(
    ("address", "size"), [("10.0.0.2", 12), ("2001:db8::1", 36)], ids=["IPv4", "IPv6"]
)
def test_a_key_is_the_fields_of_the_packet_in_either_family(address: str, size: int):
    ends = Endpoint(to_address(address), 5000), Endpoint(to_address(address), 53)
    assert len(pack(*ends)) == size
    assert source_of(pack(*ends)) == ends[0]
    assert source_address(pack(*ends)) == ends[0].address
    assert destination_of(pack(*ends)) == ends[1]


def test_a_key_is_bytes_12_to_24_of_an_ipv4_packet_without_options():
    source, destination = (Endpoint(to_address(f"192.0.2.{n}"), 1000 * n) for n in (1, 2))
    packet = packets.udp(*source, *destination)
    assert packet[12:24] == pack(source, destination)


@pytest.mark.parametrize("address", ["10.0.0.2", "2001:db8::1"])
def test_the_key_of_an_endpoint_says_protocol_port_and_address(address: str):
    endpoint = Endpoint(to_address(address), 0xABCD)
    key = endpoint_key(UDP, endpoint)
    assert key[0] == UDP
    assert endpoint_of(key) == endpoint
    assert key != endpoint_key(6, endpoint)
