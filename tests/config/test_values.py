from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.config import values
from ipmasq.core.policy import PortRange
from ipmasq.wire.addresses import Network, to_address, to_network


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2h4m", 7440), ("90s", 90), ("1d2h3m4s", 93784), (" 4m ", 240), ("2h 4m", 7440),
        ("1.5s", 1.5), (60, 60), (0.25, 0.25),
    ],
)  # fmt: skip
def test_a_duration_is_read(written: object, seconds: float):
    assert values.duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "s", "4", "4 minutes", "4m2h", "-4m", "1.5h", True, None, [4], "1e3s"]
)
def test_what_is_no_duration_is_refused(written: object):
    with pytest.raises(ValueError, match="is not a duration"):
        values.duration(written)


@pytest.mark.parametrize(("written", "seconds"), [(0, 0), ("0s", 0), ("2m", 120), (0.5, 0.5)])
def test_a_duration_that_may_be_none_is_read(written: object, seconds: float):
    assert values.duration_or_none(written) == seconds


@pytest.mark.parametrize("written", [-1, "", False, None, float("inf"), float("nan")])
def test_a_duration_that_may_be_none_is_one_otherwise(written: object):
    with pytest.raises(ValueError, match="is not a duration"):
        values.duration_or_none(written)


@pytest.mark.parametrize("written", [0, -1, "0s", float("inf"), float("nan")])
def test_a_duration_is_more_than_nothing_and_ends(written: object):
    with pytest.raises(ValueError, match="is not a duration"):
        values.duration(written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (30, "not a time for each port"),
        ({"dns": 30}, "not a port"),
        ({"53-54": 30}, "more than one port"),
        ({"0": 30}, "no port 0"),
        ({"53": 0}, "not a duration"),
    ],
)
def test_what_is_no_time_for_each_port_is_refused(written: object, said: str):
    with pytest.raises(ValueError, match=said):
        values.port_durations(written)


@given(st.integers(1, 10**9))
def test_a_duration_of_whole_seconds_is_read_back_as_it_was(seconds: int):
    assert values.duration(values.duration_text(seconds)) == seconds


@given(st.floats(0.001, 10**6))
def test_any_duration_is_read_back_to_the_nanosecond(seconds: float):
    assert values.duration(values.duration_text(seconds)) == pytest.approx(seconds, abs=1e-8)


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_a_port_range_is_read_back_as_it_was(one: int, other: int):
    ports = PortRange(min(one, other), max(one, other))
    assert values.port_range(str(ports)) == ports
    assert values.port_range(one) == (one, one)


@given(st.integers(1, 65534), st.integers(1, 65535))
def test_a_reversed_range_is_shown_the_right_way_round(low: int, more: int):
    high = min(low + more, 65535)
    with pytest.raises(ValueError, match=f'reversed; write "{low}-{high}"'):
        values.port_range(f"{high}-{low}")


@pytest.mark.parametrize("written", [0, 65536, -1, "0-5", "5-70000", 10**30])
def test_a_port_outside_1_to_65535_is_refused(written: object):
    with pytest.raises(ValueError, match=r"there is no port .*ports go from 1 to 65535"):
        values.port_range(written)


@pytest.mark.parametrize("written", ["ftp", "1-", "-5", "1,2", "1-2-3", "", True, 21.0, None])
def test_what_is_no_port_is_refused(written: object):
    with pytest.raises(ValueError, match="is not a port"):
        values.port_range(written)


@given(st.binary(min_size=4, max_size=4), st.integers(0, 32))
def test_a_network_is_read_back_as_it_was(address: bytes, length: int):
    bits = int.from_bytes(address, "big") >> (32 - length) << (32 - length)
    network = Network(bits.to_bytes(4, "big"), length)
    assert values.network(str(network)) == network


def test_host_bits_are_refused_with_the_network_that_was_probably_meant():
    with pytest.raises(ValueError, match=r'is a host in a network; write "10\.0\.0\.0/24"'):
        values.network("10.0.0.7/24")


def test_inside_is_a_network_if_it_looks_like_one():
    assert values.interface_or_network("10.0.0.0/24") == to_network("10.0.0.0/24")
    assert values.interface_or_network("10.0.0.9") == to_network("10.0.0.9/32")
    assert values.interface_or_network("eth1") == "eth1"
    assert values.interface_or_network("lan.100") == "lan.100"


@pytest.mark.parametrize("written", ["fe80::1", "2001:db8::/32"])
def test_ipv6_is_refused_by_name(written: str):
    with pytest.raises(ValueError, match="is IPv6, which cannot be masqueraded yet"):
        values.interface_or_network(written)


@pytest.mark.parametrize("written", ["", "a b", "sixteen-letters-", 7, "x" * 16])
def test_what_the_kernel_would_not_take_as_an_interface_is_refused(written: object):
    with pytest.raises(ValueError, match="is not the name of an interface"):
        values.interface_or_network(written)


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("203.0.113.1", ["203.0.113.1/32"]),
        ("203.0.113.1-203.0.113.1", ["203.0.113.1/32"]),
        ("203.0.113.1 - 203.0.113.2", ["203.0.113.1/32", "203.0.113.2/32"]),
        (
            "203.0.113.1-203.0.113.9",
            ["203.0.113.1/32", "203.0.113.2/31", "203.0.113.4/30", "203.0.113.8/31"],
        ),
        ("192.0.2.0-192.0.2.255", ["192.0.2.0/24"]),
    ],
)
def test_a_pool_can_be_a_range(text: str, networks: list[str]):
    assert [str(each) for each in values.pool(text).networks] == networks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("203.0.113.9-203.0.113.1", 'is reversed; write "203.0.113.1-203.0.113.9"'),
        ("203.0.113.1-9", '"9" is not an IPv4 address'),
        ("203.0.113.1-", '"203.0.113.1-" lacks an end; write "203.0.113.1-203.0.113.9"'),
        ("203.0.113.0/30-203.0.113.9", '"203.0.113.0/30" is not an IPv4 address'),
        ("10.0.0.0-10.1.0.0", "has more than 65,536 addresses"),
        ("2001:db8::1-2001:db8::2", "is IPv6"),
    ],
)
def test_what_is_no_range_of_addresses_says_why(text: str, said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        values.pool(text)


@pytest.mark.row("6888-3")
def test_a_pool_may_be_large_but_not_endless():
    assert values.addresses_of(values.pool("10.0.0.0/16").networks[0]) == 65536
    with pytest.raises(ValueError, match="more than 65,536 addresses"):
        values.pool("10.0.0.0/15")


@pytest.mark.parametrize(
    ("written", "port"), [("10.0.0.2", None), ("10.0.0.2:21", (21, 21)), ("10.0.0.2:5-9", (5, 9))]
)
def test_a_target_has_an_address_and_perhaps_ports(written: str, port: tuple[int, int] | None):
    assert values.target(written) == (to_address("10.0.0.2"), port)
    assert str(values.target(written)) == written


@pytest.mark.parametrize("written", ["", "host:21", "10.0.0.2:", "10.0.0.2:x", 5, "::1", ":21"])
def test_what_is_no_target_is_refused(written: object):
    with pytest.raises(ValueError, match=r"is not|is IPv6|ends without a port"):
        values.target(written)


def test_a_protocol_is_a_name_or_a_number():
    assert [values.protocol(each) for each in ("any", "TCP", "udp", "gre", 89)] == [
        0,
        6,
        17,
        47,
        89,
    ]
    assert [values.protocol_text(each) for each in (0, 6, 89)] == ["any", "tcp", "89"]


@pytest.mark.parametrize("written", ["tpc", 0, 256, True, None])
def test_what_is_no_protocol_is_refused(written: object):
    with pytest.raises(ValueError, match="is not a protocol; write one of"):
        values.protocol(written)


@pytest.mark.parametrize("written", [660, 0o660, "0888", "rw", "-660", "1777"])
def test_a_mode_is_text_because_660_would_be_read_as_a_decimal_number(written: object):
    assert values.mode("0660") == values.mode("660") == 0o660
    with pytest.raises(ValueError, match="is not an access mode"):
        values.mode(written)


def test_long_values_are_shown_in_part():
    assert len(values.shown("x" * 1000)) == 60
    assert values.shown(True) == "true"
