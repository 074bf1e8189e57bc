"""What inside hosts are told: the packets themselves, and at which rate."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.policy import Limits
from ipmasq.core.reasons import Reason
from ipmasq.core.refusals import CODES, LONGEST, Refusals
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import to_address, to_network
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import ACK, FIN, PSH, RST, SYN, Facts
from tests.conformance.world import E1, GATEWAY, IN1, IN2, OUT1, POLICY

REFUSED = packets.udp(IN1, 5000, OUT1, 53)


def answer(refusals: Refusals, data: bytes, reason: Reason, now: float = 0.0) -> Facts | None:
    header = ipv4.read(data)
    assert header is not None
    told = refusals.answer(Packet(bytearray(data)), header, reason, now)
    return packets.read(bytes(told.data)) if told else None


def refusals(seed: int = 1, **changes: object) -> Refusals:
    return Refusals(replace(POLICY, **changes), Random(seed).randrange)  # type: ignore[arg-type]


@given(
    payload=st.binary(max_size=1500),
    options=st.binary(max_size=40).map(lambda text: text + bytes(-len(text) % 4)),
    reason=st.sampled_from([*CODES]),
)
@pytest.mark.row("5508-10e")
def test_an_error_quotes_as_much_as_576_bytes_hold_whatever_was_sent(payload, options, reason):
    data = packets.udp(IN1, 5000, OUT1, 53, payload, options=options)
    told = answer(refusals(), data, reason)
    assert told is not None
    assert (told.kind, told.code) == (3, CODES[reason])
    assert len(told.data) == min(LONGEST, len(data) + 28)
    assert data.startswith(told.data[28:])


@given(
    flags=st.integers(0, 255),
    seq=st.integers(0, 2**32 - 1),
    ack=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=40),
)
def test_a_reset_is_what_the_other_end_would_send_whatever_was_said(flags, seq, ack, payload):
    data = packets.tcp(IN1, 5000, OUT1, 80, flags, seq, ack, payload)
    told = answer(refusals(), data, Reason.NO_FLOW)
    if flags & RST:
        assert told is None
        return
    assert told is not None
    assert (told.source, told.destination) == ((OUT1, 80), (IN1, 5000))
    if flags & ACK:
        assert (told.flags, told.seq, told.ack) == (RST, ack, 0)
    else:
        length = len(payload) + bool(flags & SYN) + bool(flags & FIN)
        assert (told.flags, told.seq, told.ack) == (RST | ACK, 0, (seq + length) % 2**32)


def test_a_segment_that_was_damaged_on_its_way_breaks_no_connection():
    data = bytearray(packets.tcp(IN1, 5000, OUT1, 80, ACK, 1, 2, b"data"))
    data[-1] ^= 1
    assert answer(refusals(), bytes(data), Reason.NO_FLOW) is None


def test_what_has_no_finished_checksum_is_quoted_with_one():
    data = bytearray(packets.tcp(IN1, 5000, OUT1, 80, SYN))
    data[36:38] = b"\0\0"
    pseudo = packets.pseudo(IN1, OUT1, packets.TCP, 20)
    data[36:38] = (packets.checksum(pseudo) ^ 0xFFFF).to_bytes(2, "big")
    header = ipv4.read(data)
    assert header is not None
    told = refusals().answer(Packet(data, partial=True), header, Reason.NO_PORTS, 0.0)
    assert told is not None
    packets.read(bytes(told.data))


@pytest.mark.parametrize("kind", [0, 3, 4, 5, 9, 11, 12, 13, 17, 200])
@pytest.mark.row("5508-10e")
def test_icmp_that_may_be_an_error_is_not_answered_by_one(kind):
    data = packets.icmp(IN1, OUT1, kind, 0, bytes(4), REFUSED)
    assert answer(refusals(), data, Reason.NO_PORTS) is None
    assert answer(refusals(), packets.echo(IN1, OUT1, 1), Reason.NO_PORTS) is not None


def test_an_error_comes_from_the_gateways_address_that_is_nearest_to_the_host():
    near, other = to_network("10.0.0.0/24"), to_network("10.0.1.0/24")
    second = to_address("10.0.1.1")
    behind = to_network("10.0.2.0/24")
    inside = (near, other, behind)
    for host, own, speaker in (
        (IN1, {GATEWAY, second, E1}, GATEWAY),
        (to_address("10.0.1.5"), {GATEWAY, second, E1}, second),
        (to_address("10.0.2.5"), {GATEWAY, second, E1}, GATEWAY),
        (IN1, {E1}, E1),
        (IN1, set(), E1),
    ):
        told = answer(
            refusals(inside=inside, own=frozenset(own)),
            packets.udp(host, 5000, OUT1, 53),
            Reason.NO_PORTS,
        )
        assert told is not None
        assert told.source.address == speaker
    assert answer(refusals(public=(), own=frozenset()), REFUSED, Reason.NO_PORTS) is None


@pytest.mark.row("5508-10d")
def test_an_error_has_the_precedence_of_internetwork_control():
    told = answer(refusals(), packets.udp(IN1, 5000, OUT1, 53, tos=8), Reason.NO_PORTS)
    assert told is not None
    assert told.data[1] == 0xC0


@pytest.mark.row("5508-10f", "A-25")
@pytest.mark.parametrize("reason", [Reason.NO_PORTS, Reason.NO_FLOW])
def test_a_flood_is_answered_at_a_limited_rate_that_nobody_can_foretell(reason):
    limits = Limits(icmp_errors_per_host=20, resets_per_host=20)
    data = packets.tcp(IN1, 5000, OUT1, 80, ACK)
    counts = set()
    for seed in range(8):
        told = refusals(seed, limits=limits)
        answered = [answer(told, data, reason, step / 100) is not None for step in range(1000)]
        # One second's worth at once, then that much a second, of which up to a half is left out.
        assert 10 * (10 + 1) / 2 <= sum(answered) <= 20 * (10 + 1)
        assert sum(answered[:100]) <= 40
        counts.add(sum(answered[:100]))
    assert len(counts) > 1


def test_one_hosts_flood_leaves_the_answers_to_others():
    told = refusals(limits=Limits(icmp_errors=1000, icmp_errors_per_host=20))
    for _ in range(1000):
        answer(told, REFUSED, Reason.NO_PORTS)
    assert answer(told, packets.udp(IN2, 5000, OUT1, 53), Reason.NO_PORTS) is not None


def test_all_hosts_together_are_told_no_more_than_the_total():
    told = refusals(limits=Limits(icmp_errors=50, icmp_errors_per_host=20))
    hosts = [to_address(f"10.0.0.{number}") for number in range(10, 250)]
    data = [packets.udp(host, 5000, OUT1, 53) for host in hosts]
    assert 25 <= sum(answer(told, each, Reason.NO_PORTS) is not None for each in data) <= 50


@pytest.mark.row("5508-9")
def test_either_kind_of_answer_can_be_switched_off():
    segment = packets.tcp(IN1, 5000, OUT1, 80, ACK | PSH)
    told = refusals(icmp_errors=False)
    assert answer(told, REFUSED, Reason.NO_PORTS) is None
    assert answer(told, segment, Reason.NO_FLOW) is not None
    told.follow(replace(POLICY, resets=False))
    assert answer(told, REFUSED, Reason.NO_PORTS) is not None
    assert answer(told, segment, Reason.NO_FLOW) is None
