"""The SEQ rows: positions after a rewrite, with the real FTP helper."""

from __future__ import annotations

from random import Random

import pytest

from ipmasq.core import events
from ipmasq.core.reasons import Reason
from ipmasq.wire import tcp
from ipmasq.wire.addresses import to_address
from ipmasq.wire.tcp import Segment
from tests.core.conversation import (
    ACK,
    INSIDE,
    OUTSIDE,
    PSH,
    URG,
    Conversation,
    Side,
    build,
    policy,
)
from tests.core.rewriting import PORT, rewritten


@pytest.mark.row("SEQ-1", "3027-4.1a", "3022-4.4")
def test_both_directions_are_shifted_after_a_rewrite_that_grew() -> None:
    talk = Conversation().open()
    after, delta = rewritten(talk)
    assert delta > 0
    listing = talk.client(b"LIST\r\n")
    assert listing.spans == [(len(after), b"LIST\r\n")]
    talk.heard[Side.OUTSIDE] = len(after) + 6
    reply = talk.server(b"150 ok\r\n")
    assert talk.acked(reply.one, Side.INSIDE) == len(PORT) + 6


@pytest.mark.row("SEQ-1")
def test_positions_are_shifted_by_rewrites_that_shrink() -> None:
    inside = b"PORT 10,0,0,2,250,250\r\n"
    talk = Conversation(
        policy(public=(to_address("2.2.2.2"),), ports=policy().ports._replace(low=1024, high=1279))
    )
    talk.open()
    total = 0
    for n in range(1, 9):
        after = talk.client(inside).payload
        total += len(after)
        assert after.startswith(b"PORT 2,2,2,2,4,")
        assert len(after) < len(inside)
        assert talk.client(b"NOOP\r\n").spans == [(total, b"NOOP\r\n")]
        total += 6
        assert talk.acked(talk.hears(Side.OUTSIDE, total).one, Side.INSIDE) == n * (len(inside) + 6)


@pytest.mark.row("SEQ-4")
def test_timestamps_pass_unchanged() -> None:
    stamp = b"\x01\x01\x08\x0a" + bytes(range(8))
    talk = Conversation(options=stamp).open()
    assert talk.client(PORT).one.segment.options == stamp


@pytest.mark.row("SEQ-6")
def test_sequence_numbers_wrap_within_and_after_a_rewrite() -> None:
    for before in range(0, 30):
        talk = Conversation(client_first=(1 << 32) - before, server_first=(1 << 32) - before).open()
        after, _ = rewritten(talk)
        assert talk.client(b"LIST\r\n").spans == [(len(after), b"LIST\r\n")]
        assert (
            talk.acked(talk.hears(Side.OUTSIDE, len(after) + 6).one, Side.INSIDE) == len(PORT) + 6
        )


@pytest.mark.row("SEQ-7")
def test_a_keep_alive_after_a_rewrite_stands_before_what_the_listener_expects() -> None:
    talk = Conversation().open()
    after, _ = rewritten(talk)
    talk.hears(Side.OUTSIDE, len(after))
    for probe in (b"", b"\0"):
        ((start, payload),) = talk.client(probe, at=len(PORT) - 1).spans
        assert start <= len(after) - 1
        assert after[start : start + len(payload)] == payload


@pytest.mark.row("SEQ-9", "1123-10")
def test_fifty_pipelined_commands_in_one_segment_are_all_rewritten() -> None:
    ports = [b"PORT 10,0,0,2,%d,%d\r\n" % (4 + n % 3 * 100, n) for n in range(50)]
    talk = Conversation().open()
    outcome = talk.client(b"".join(ports))
    lines = outcome.payload.split(b"\r\n")[:-1]
    assert len(lines) == 50
    assert all(line.startswith(b"PORT 203,0,113,1,") for line in lines)
    assert talk.client(b"LIST\r\n").spans == [(len(outcome.payload), b"LIST\r\n")]
    talk.heard[Side.OUTSIDE] = len(outcome.payload) + 6
    assert talk.acked(talk.server(b"").one, Side.INSIDE) == len(b"".join(ports)) + 6


@pytest.mark.row("SEQ-10")
def test_what_comes_early_is_kept_until_the_rewritten_line_has_come() -> None:
    talk = Conversation().open()
    early = talk.client(b"LIST\r\n", at=len(PORT))
    assert early.reason is Reason.HELD
    assert early.payload == b""
    late = talk.client(PORT, at=0)
    assert late.payload.startswith(b"PORT 203,0,113,1,")
    assert late.payload.endswith(b"\r\nLIST\r\n")


@pytest.mark.row("SEQ-10", "SEQ-4")
def test_of_what_comes_early_its_speaker_is_told_in_the_listeners_name() -> None:
    talk = Conversation(permits=b"\x04\x02\x01\x01").open()
    talk.client(b"NOOP\r\n", at=100)
    (told,) = talk.client(b"LIST\r\n", at=50).answers
    assert talk.acked(told, Side.INSIDE) == 0
    value = tcp.option(told.segment.options, tcp.SACK)
    assert value is not None
    edges = [int.from_bytes(value[n : n + 4], "big") - 1000 for n in range(0, len(value), 4)]
    assert edges == [50, 56, 100, 106]
    without = Conversation().open()
    (told,) = without.client(b"LIST\r\n", at=50).answers
    assert tcp.option(told.segment.options, tcp.SACK) is None


@pytest.mark.row("1123-10", "6384-5str")
def test_a_command_split_at_every_byte_is_rewritten_once() -> None:
    for cut in range(1, len(PORT)):
        talk = Conversation().open()
        first = talk.client(PORT[:cut])
        # What is withheld is acknowledged, or a sender that keeps to Nagle would wait for ever.
        sent = len(first.payload)
        answered = [talk.acked(each, Side.INSIDE) for each in first.answers]
        assert answered == ([cut] if sent < cut else [])
        rest = talk.client(PORT[cut:])
        whole = first.payload + rest.payload
        assert whole.startswith(b"PORT 203,0,113,1,")
        assert sum(isinstance(e, events.Rewritten) for e in talk.events) == 1
        talk.heard[Side.OUTSIDE] = len(whole)
        assert talk.acked(talk.server(b"").one, Side.INSIDE) == len(PORT)


@pytest.mark.row("1123-10")
def test_a_command_one_byte_at_a_time_with_each_byte_lost_once_is_rewritten() -> None:
    talk = Conversation().open()
    heard = b""
    for at in range(len(PORT)):
        talk.client(PORT[at : at + 1], at=at)  # lost behind the gateway
        talk.later(0.2)
        for start, payload in talk.client(PORT[at : at + 1], at=at).spans:
            heard = heard[:start] + payload
    assert heard.startswith(b"PORT 203,0,113,1,")
    assert heard.endswith(b"\r\n")


@pytest.mark.row("A-19")
def test_urgent_pointers_beyond_the_segment_and_across_the_wrap_do_no_harm() -> None:
    chance = Random(3)
    for _ in range(300):
        talk = Conversation(client_first=(1 << 32) - chance.randint(0, 40)).open()
        pointer = chance.choice([0, 1, 100, 65535, chance.randint(0, 65535)])
        assert talk.client(PORT, flags=ACK | URG, urgent=pointer).payload.startswith(b"PORT 203")
        assert talk.client(b"ABOR\r\n", flags=ACK | URG, urgent=pointer).payload == b"ABOR\r\n"


@pytest.mark.row("A-16", "1123-11")
def test_a_line_of_a_megabyte_passes_byte_for_byte_and_the_next_one_is_rewritten() -> None:
    talk = Conversation().open()
    line = b"SITE " + b"z" * (1 << 20)
    heard = 0
    for at in range(0, len(line), 1400):
        payload = talk.client(line[at : at + 1400]).payload
        assert payload == line[at : at + 1400]
        heard += len(payload)
        talk.heard[Side.OUTSIDE] = heard
        talk.server(b"", at=0)
    assert talk.client(b"\r\n").payload == b"\r\n"
    rewritten(talk)
    watch = talk.flow.inspector.rewriter
    assert watch is not None
    assert all(len(s._kept) < 20_000 for s in watch.streams if s)


@pytest.mark.row("A-16")
def test_a_line_that_is_awaited_and_never_ends_is_bounded_and_passes() -> None:
    talk = Conversation().open()
    line = b"PORT " + b"1" * 60_000
    heard = b""
    for at in range(0, len(line), 1000):
        heard += talk.client(line[at : at + 1000]).payload
        talk.heard[Side.OUTSIDE] = len(heard)
        talk.server(b"", at=0)
    assert heard == line


@pytest.mark.row("3022-4.2")
@pytest.mark.parametrize("text", [PORT, b""], ids=["with data", "without"])
def test_a_corrupt_segment_is_neither_kept_nor_blessed(text: bytes) -> None:
    talk = Conversation().open()
    segment = Segment(0, 0, 1000, 900_000, ACK | PSH, 60000, 0, 0, b"")
    packet = build(INSIDE, OUTSIDE, segment, text)
    packet.data[30] ^= 1  # the acknowledgment
    assert talk.engine.receive(packet, Side.INSIDE, 0.0).reason is Reason.BAD_CHECKSUM
    rewritten(talk)
