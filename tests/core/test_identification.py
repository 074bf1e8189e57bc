"""Identifications that do not come again too soon."""

from __future__ import annotations

from random import Random

from ipmasq.core.identification import Identifications
from ipmasq.wire import ipv4
from tests.conformance.world import E1, OUT1, OUT2


def test_none_comes_again_within_65536_of_a_pair_of_addresses():
    numbers = Identifications(Random(1).randrange)
    taken = [numbers.take(E1, OUT1, ipv4.UDP) for _ in range(1 << 16)]
    assert len(set(taken)) == 1 << 16
    assert numbers.take(E1, OUT1, ipv4.UDP) == taken[0]


def test_where_they_begin_is_different_for_each_pair_protocol_and_gateway():
    first = [
        numbers.take(E1, remote, protocol)
        for numbers in (Identifications(Random(seed).randrange) for seed in range(3))
        for remote in (OUT1, OUT2)
        for protocol in (ipv4.TCP, ipv4.UDP)
    ]
    assert len(set(first)) == len(first)


def test_what_others_send_does_not_tell_what_a_pair_sends():
    numbers = Identifications(Random(2).randrange)
    before = numbers.take(E1, OUT1, ipv4.UDP)
    for _ in range(100):
        numbers.take(E1, OUT2, ipv4.UDP)
    assert numbers.take(E1, OUT1, ipv4.UDP) == (before + 1) & 0xFFFF
