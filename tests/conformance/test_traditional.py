"""RFC 3022 and 3027: what is rewritten, what is left alone, and what checksums become."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipmasq.core.policy import Behaviour
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import ACK, DF, PSH, SYN, TCP, UDP, URG
from tests.conformance.world import E1, IN1, OUT1, World


@st.composite
def headers(draw: st.DrawFn) -> dict:
    """All header fields that are nobody's business."""
    options = draw(
        st.sampled_from([b"", b"\1\1\1\0", b"\x07\x07\x04" + bytes(4) + b"\0", b"\x94\4\0\0"])
    )
    return {
        "ttl": draw(st.integers(2, 255)),
        "identification": draw(st.integers(0, 0xFFFF)),
        "fragment": draw(st.sampled_from([0, DF])),
        "tos": draw(st.integers(0, 255)),
        "options": options,
    }


def blank(data: bytes, source: bool) -> bytes:
    """A packet with zeros where it may be rewritten: TTL, checksums, one address and port."""
    changed, length = bytearray(data), (data[0] & 15) * 4
    at = length if source else length + 2
    for start, end in (
        (8, 9),
        (10, 12),
        (12, 16) if source else (16, 20),
        (at, at + 2),
        (length + 16, length + 18) if data[9] == TCP else (length + 6, length + 8),
    ):
        changed[start:end] = bytes(end - start)
    return bytes(changed)


@pytest.mark.row("3022-4.1")
@given(header=headers(), payload=st.binary(max_size=60), data=st.data())
def test_addresses_ports_and_ttl_change_and_every_other_field_stays(header, payload, data):
    world = World()
    draw = data.draw
    if draw(st.booleans()):
        flags = draw(st.sampled_from([SYN, SYN | 0xC0, SYN | PSH | URG]))
        rest = {
            "seq": draw(st.integers(0, 2**32 - 1)),
            "ack": draw(st.integers(0, 2**32 - 1)),
            "window": draw(st.integers(0, 0xFFFF)),
            "urgent": draw(st.integers(0, 0xFFFF)),
            "options": draw(st.sampled_from([b"", b"\2\4\5\xb4", b"\1\3\3\7"])),
        }
        del header["options"]
        sent = packets.tcp(IN1, 5000, OUT1, 80, flags, payload=payload, **rest, **header)
        back = packets.tcp(OUT1, 80, E1, 0, SYN | ACK, payload=payload, **rest, **header)
    else:
        sent = packets.udp(IN1, 5000, OUT1, 53, payload, **header)
        back = packets.udp(OUT1, 53, E1, 0, payload, **header)
    out = world.send(sent).one
    assert blank(out.data, source=True) == blank(sent, source=True)
    assert out.ttl == header["ttl"] - 1
    # The same backwards: only the destination port is still to be filled in.
    length = (back[0] & 15) * 4
    named = bytearray(back)
    named[length + 2 : length + 4] = out.source.port.to_bytes(2, "big")
    arrived = world.send(resum(bytes(named))).one
    assert blank(arrived.data, source=False) == blank(bytes(named), source=False)
    assert arrived.destination == sent_by(sent)


def sent_by(packet: bytes) -> Endpoint:
    length = (packet[0] & 15) * 4
    return Endpoint(packet[12:16], int.from_bytes(packet[length : length + 2], "big"))


def resum(packet: bytes) -> bytes:
    """With the right L4 checksum."""
    length = (packet[0] & 15) * 4
    at = length + (16 if packet[9] == TCP else 6)
    body = packet[:at] + b"\0\0" + packet[at + 2 :]
    pseudo = packets.pseudo(packet[12:16], packet[16:20], packet[9], len(packet) - length)
    sum_ = packets.checksum(pseudo + body[length:])
    if packet[9] == UDP:
        sum_ = sum_ or 0xFFFF
    return body[:at] + sum_.to_bytes(2, "big") + body[at + 2 :]


@pytest.mark.row("3022-4.2")
@given(seed=st.integers(0, 2**32))
@example(seed=0)
def test_incremental_checksums_equal_those_computed_anew(seed: int):
    chance = Random(seed)
    world = World(seed=seed)
    for _ in range(60):
        payload = chance.randbytes(chance.randrange(40))
        port, remote = chance.randrange(1, 65536), chance.randrange(1, 65536)
        datagram = packets.udp(IN1, port, OUT1, remote, payload, ttl=chance.randrange(2, 256))
        verdict = world.engine.receive(Packet(bytearray(datagram)), Side.INSIDE, world.now)
        out = bytes(verdict.packets[0].data)
        assert out[26:28] != b"\0\0"
        packets.read(out)
        back = packets.udp(OUT1, remote, E1, int.from_bytes(out[20:22], "big"), payload)
        verdict = world.engine.receive(Packet(bytearray(back)), Side.OUTSIDE, world.now)
        packets.read(bytes(verdict.packets[0].data))


def with_checksum(wanted: int, packet: bytes, at: int) -> bytes:
    """The packet, its last payload word such that its L4 checksum (at `at`) is `wanted`."""
    plain = resum(packet[:-2] + b"\0\0")
    word = (int.from_bytes(plain[at : at + 2], "big") - wanted) % 0xFFFF
    packet = resum(packet[:-2] + word.to_bytes(2, "big"))
    assert int.from_bytes(packet[at : at + 2], "big") == wanted
    return packet


@pytest.mark.row("3022-4.2")
@pytest.mark.parametrize(
    ("protocol", "wanted"),
    [
        *((TCP, wanted) for wanted in (0x0000, 0x0001, 0x7FFF, 0xFFFE)),
        *((UDP, wanted) for wanted in (0x0001, 0x7FFF, 0xFFFE, 0xFFFF)),
    ],
)
@pytest.mark.parametrize("outward", [True, False])
def test_checksums_at_the_edges_are_right_before_and_after(
    protocol: int, wanted: int, outward: bool
):
    world = World()
    if protocol == UDP:
        out = world.send(packets.udp(IN1, 5000, OUT1, 80, b"....")).one
        inner, outer = packets.udp(IN1, 5000, OUT1, 80, b"...."), out.data
    else:
        out = world.send(packets.tcp(IN1, 5000, OUT1, 80, SYN, payload=b"....")).one
        inner, outer = packets.tcp(IN1, 5000, OUT1, 80, SYN, payload=b"...."), out.data
    if not outward:
        inner, outer = backwards(outer), backwards(inner)
    at = 36 if protocol == TCP else 26
    world.send(with_checksum(wanted, inner, at)).reaches(inner[16:20] if outward else IN1)
    payload = with_checksum(wanted, outer, at)[-4:]
    left = world.send(resum(inner[:-4] + payload)).one.data
    assert int.from_bytes(left[at : at + 2], "big") == wanted


def backwards(packet: bytes) -> bytes:
    """The answer to a packet, with the same payload."""
    swapped = (
        packet[:12] + packet[16:20] + packet[12:16] + packet[22:24] + packet[20:22] + packet[24:]
    )
    return resum(swapped)


@pytest.mark.row("3022-4.2")
def test_a_udp_checksum_that_is_absent_stays_absent():
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53, summed=False).one
    assert out.data[26:28] == b"\0\0"
    back = world.udp(OUT1, 53, *out.source, summed=False).one
    assert back.data[26:28] == b"\0\0"
    again = world.udp(IN1, 5000, OUT1, 53, summed=False).one
    assert again.data[26:28] == b"\0\0"


@pytest.mark.row("3022-4.2")
@pytest.mark.parametrize("protocol", [UDP, TCP])
@given(payload=st.binary(min_size=2, max_size=80), ttl=st.integers(2, 255))
def test_a_checksum_that_the_card_will_finish_comes_out_right(
    protocol: int, payload: bytes, ttl: int
):
    world = World()
    if protocol == UDP:
        whole = packets.udp(IN1, 5000, OUT1, 53, payload, ttl=ttl)
    else:
        whole = packets.tcp(IN1, 5000, OUT1, 53, SYN, payload=payload, ttl=ttl)
    at = 26 if protocol == UDP else 36
    pseudo = packets.pseudo(whole[12:16], whole[16:20], protocol, len(whole) - 20)
    unfinished = (
        whole[:at] + (packets.checksum(pseudo) ^ 0xFFFF).to_bytes(2, "big") + whole[at + 2 :]
    )
    packet = Packet(bytearray(unfinished), partial=True)
    (out,) = world.engine.receive(packet, Side.INSIDE, world.now).packets
    assert out.partial
    data = bytes(out.data)
    # What a card does: sum up everything from the L4 header on, the field included.
    finished = packets.checksum(data[20:]) or 0xFFFF
    packets.read(data[:at] + finished.to_bytes(2, "big") + data[at + 2 :])


@given(spoilt=st.integers(20, 48), bit=st.integers(0, 7))
@example(spoilt=26, bit=0)
def test_what_arrives_corrupt_leaves_corrupt(spoilt: int, bit: int):
    world = World(filtering=Behaviour.ENDPOINT_INDEPENDENT)
    data = bytearray(packets.udp(IN1, 5000, OUT1, 53, b"x" * 21))
    data[spoilt] ^= 1 << bit
    passage = world.send(bytes(data), intact=False)
    if passage.reason is Reason.MALFORMED:
        return
    out = passage.one.data
    if out[26:28] == b"\0\0" == bytes(data[26:28]):
        return  # the flip said that there is no checksum
    with pytest.raises(AssertionError):
        packets.read(out)


@pytest.mark.row("3022-4.6")
@pytest.mark.parametrize("kind", [7, 131, 137])
def test_routing_options_pass_untranslated_and_harm_nothing(kind: int):
    world = World()
    option = bytes((kind, 7, 4)) + OUT1 + b"\0"
    out = world.udp(IN1, 5000, OUT1, 53, options=option).one
    assert out.data[20:28] == option
    world.udp(OUT1, 53, *out.source, options=option).reaches(IN1, 5000)


@pytest.mark.row("3027-2.1")
def test_an_inside_address_in_an_unknown_payload_stays_byte_for_byte():
    world = World()
    payload = IN1 + b"10.0.0.2:5000" + IN1
    assert world.udp(IN1, 5000, OUT1, 9999, payload=payload).one.payload == payload
    assert world.tcp(IN1, 5000, OUT1, 9999, SYN, payload=payload).one.payload == payload
