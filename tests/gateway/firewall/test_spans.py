"""Addresses and ports as ranges of numbers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.gateway.firewall.spans import Span, Spans, read_span, read_spans

BASE = int(IPv4Address("10.0.0.0"))
networks = st.builds(
    lambda at, length: IPv4Network((BASE + at, length), strict=False),
    st.integers(0, 255),
    st.integers(25, 32),
)


@given(st.lists(networks), networks)
def test_an_address_is_found_in_a_set_as_by_looking_at_each_element(
    elements: list[IPv4Network], sought: IPv4Network
) -> None:
    spans, span = read_spans("daddr", list(map(str, elements))), read_span("daddr", str(sought))
    assert spans is not None
    assert span is not None
    found = {address for each in elements for address in each}
    assert spans.overlap(span) is bool(found & set(sought))
    assert spans.contain(span) is found.issuperset(sought)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9))), st.integers(0, 40))
def test_a_port_is_found_in_ranges_that_overlap(ranges: list[tuple[int, int]], port: int) -> None:
    spans = Spans([Span(low, low + more) for low, more in ranges])
    expected = any(low <= port <= low + more for low, more in ranges)
    assert spans.overlap(Span(port, port)) is expected
    assert spans.contain(Span(port, port)) is expected


def test_addresses_of_both_families_are_different() -> None:
    spans, span = read_spans("saddr", ["::/0"]), read_span("saddr", "10.0.0.1")
    assert spans is not None
    assert span is not None
    assert not spans.overlap(span)


@pytest.mark.parametrize(("key", "text"), [("dport", "http"), ("saddr", "nonsense"), ("iif", "1")])
def test_what_is_neither_an_address_nor_a_port_is_not_known(key: str, text: str) -> None:
    assert read_spans(key, [text]) is None
    assert read_span(key, text) is None
