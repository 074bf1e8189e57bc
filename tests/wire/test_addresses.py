"""Addresses and networks are bytes, whatever their family."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire.addresses import Endpoint, Network, to_address, to_network, to_text, within

families = st.sampled_from((4, 6))


@given(st.ip_addresses())
def test_an_address_is_its_bytes_and_is_read_back_from_its_text(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
):
    assert to_text(address.packed) == str(address)
    assert to_address(str(address)) == address.packed


@given(st.data(), families)
def test_an_address_is_in_a_network_exactly_if_its_prefix_is_the_same(
    data: st.DataObject, family: int
):
    one, other = data.draw(st.ip_addresses(v=family)), data.draw(st.ip_addresses(v=family))
    length = data.draw(st.integers(0, len(one.packed) * 8))
    network = ipaddress.ip_network((one, length), strict=False)
    found = to_network(str(network))
    assert str(found) == str(network)
    assert one.packed in found
    assert (other.packed in found) is (other in network)


def test_an_address_of_the_other_family_is_in_no_network():
    assert bytes(4) not in to_network("::/0")
    assert bytes(16) not in to_network("0.0.0.0/0")
    assert "10.0.0.1" not in to_network("0.0.0.0/0")


@pytest.mark.parametrize("text", ["10.0.0.1/24", "10.0.0.0/33", "ten", ""])
def test_what_is_no_network_is_refused(text: str):
    with pytest.raises(ValueError, match=r"\S"):
        to_network(text)


def test_an_address_is_within_networks_if_any_of_them_has_it():
    networks = (to_network("10.0.0.0/24"), to_network("192.168.0.0/16"))
    assert within(to_address("192.168.7.1"), networks)
    assert not within(to_address("10.0.1.1"), networks)
    assert not within(to_address("10.0.0.1"), ())


@pytest.mark.parametrize(
    ("address", "text"), [("10.0.0.2", "10.0.0.2:21"), ("2001:db8::1", "[2001:db8::1]:21")]
)
def test_an_endpoint_is_shown_so_that_its_port_can_be_told(address: str, text: str):
    assert str(Endpoint(to_address(address), 21)) == text


def test_a_single_address_is_a_network_of_its_own():
    assert to_network("10.0.0.2") == Network(to_address("10.0.0.2"), 32)
