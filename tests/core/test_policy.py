"""Sets of ports."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.policy import NO_PORTS, PortRange, PortSet, merged, port_list, port_set, without

ranges = st.lists(
    st.tuples(st.integers(0, 65535), st.integers(-1, 3000)).map(
        lambda pair: PortRange(pair[0], min(65535, sum(pair)))
    ),
    max_size=8,
)


def all_of(given_: list[PortRange] | tuple[PortRange, ...]) -> set[int]:
    return {port for low, high in given_ for port in range(low, high + 1)}


@given(ranges)
def test_merged_ranges_hold_the_same_ports_in_order_and_apart(given_: list[PortRange]):
    result = merged(given_)
    assert all_of(result) == all_of(given_)
    assert all(one.high + 1 < other.low for one, other in itertools.pairwise(result))


@given(ranges, st.integers(0, 65535))
def test_a_set_of_ports_has_exactly_the_ports_of_its_ranges(given_: list[PortRange], port: int):
    found, ports = port_set(given_), all_of(given_)
    assert found.size == len(ports)
    assert (port in found) == (port in ports)
    assert all_of(found.ranges) == ports
    if ports:
        assert (found.low, found.high) == (min(ports), max(ports))
        assert port_set(port_list(str(found))) == found


@given(ranges, ranges)
def test_without_takes_out_exactly_what_is_taken(whole: list[PortRange], taken: list[PortRange]):
    for each in whole:
        left = without(each, taken)
        assert all_of(left) == all_of([each]) - all_of(taken)
        assert merged(left) == left


def test_a_set_of_one_range_is_that_range():
    assert port_set([PortRange(5, 9), PortRange(10, 12)]) == PortRange(5, 12)
    assert port_set([]) == NO_PORTS
    assert (NO_PORTS.ranges, NO_PORTS.size) == ((), 0)
    assert str(port_set([PortRange(7, 9), PortRange(5, 5)])) == "5, 7-9"


@pytest.mark.parametrize(
    ("text", "ranges"),
    [("", ()), ("8080,9148-9150\n", ((8080, 8080), (9148, 9150))), ("5, 7-9", ((5, 5), (7, 9)))],
)
def test_a_list_of_ports_is_read_as_the_kernel_writes_it(text: str, ranges: object):
    assert port_list(text) == ranges


def test_a_port_between_two_ranges_is_in_neither():
    assert 40000 not in PortSet((PortRange(1024, 32767), PortRange(61000, 65535)))
