"""Captures through the real engine and the real FTP helper; scapy makes them, tshark and scapy read them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.all import ARP, DNS, DNSQR, ICMP, IP, TCP, UDP, Ether, raw

from ipmasq.core.policy import Forward, Policy, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.planes.pcap import NOT_IP, ByInterface
from ipmasq.replay.recorder import Recorder
from ipmasq.replay.replay import replay
from ipmasq.wire import capture
from ipmasq.wire.addresses import to_address
from ipmasq.wire.checksum import pseudo_header_sum
from ipmasq.wire.record import NANOSECONDS, CaptureError, Interface, Record
from tests.replay.tape import (
    CLIENT,
    GATEWAY,
    POLICY,
    SERVER,
    START,
    Talk,
    Tape,
    active_ftp,
)
from tests.wire.test_pcapng import tshark


def packets(records: list[Record]) -> list[IP]:
    return [Ether(record.data)[IP] for record in records]


def said(record: Record) -> str:
    return " | ".join(record.comments)


def assert_checksums(records: list[Record]) -> None:
    """Scapy computes every checksum anew and finds the same."""
    for packet in packets(records):
        again = packet.copy()
        for layer in (IP, TCP, UDP, ICMP):
            if layer in again:
                del again[layer].chksum
        assert raw(again) == raw(packet)


def test_an_active_transfer_captured_inside_is_what_it_would_have_been_behind_the_gateway() -> None:
    summary, records, _ = active_ftp().replay()
    out = [p for p in packets(records) if p.dst == SERVER]
    back = [p for p in packets(records) if p.dst == CLIENT]
    assert summary.reasons == {Reason.TRANSLATED: summary.packets}
    assert (summary.flows, summary.rewrites, summary.expectations, summary.met) == (2, 1, 1, 1)
    assert (summary.refused, summary.failed, summary.damage) == (0, 0, "")
    assert {p.src for p in out} == {GATEWAY}
    assert {p.src for p in back} == {SERVER}
    assert_checksums(records)
    # What the server hears, and what it acknowledges in the inside host's own numbers.
    heard = b"".join(bytes(p[TCP].payload) for p in out if p[TCP].dport == 21)
    (port,) = re.findall(rb"PORT (203,0,113,1,\d+,\d+)\r\n", heard)
    assert heard.endswith(b"RETR file\r\nQUIT\r\n")
    assert b"10,0,0,2" not in heard
    high, low = port.split(b",")[4:]
    assert {p[TCP].sport for p in out if p[TCP].dport == 20} == {int(high) * 256 + int(low)}
    original = [p for p in packets(list(capture.read(active_ftp_source()))) if p.dst == CLIENT]
    assert [(p[TCP].seq, p[TCP].ack, bytes(p[TCP].payload)) for p in back] == [
        (p[TCP].seq, p[TCP].ack, bytes(p[TCP].payload)) for p in original
    ]


def active_ftp_source() -> io.BytesIO:
    return io.BytesIO(active_ftp().buffer.getvalue())


def test_every_packet_says_what_was_done_and_why_as_tshark_reads_it(tmp_path: Path) -> None:
    summary, _, written = active_ftp().replay()
    path = tmp_path / "out.pcapng"
    path.write_bytes(written)
    rows = tshark(path, "frame.interface_name", "frame.comment", "ftp.request.arg")
    assert len(rows) == summary.packets
    opening, rewriting, linked = rows[0], rows[5], rows[11]
    assert opening[0] == "outside"
    assert re.search(r"translated: source 10\.0\.0\.2:40000 -> 203\.0\.113\.1:\d+", opening[1])
    assert "(flow 1, masquerade)" in opening[1]
    assert "helper ftp inspects flow 1, by destination port 21" in opening[1]
    assert '"PORT 10,0,0,2,19,137" -> "PORT 203,0,113,1,' in rewriting[1]
    assert "expects TCP from 198.51.100.1 to 203.0.113.1:" in rewriting[1]
    assert rewriting[2].startswith("203,0,113,1,")
    assert linked[0] == "inside"
    assert "opened flow 2 by expectation of flow 1, linked to flow 1" in linked[1]
    assert "taken as addressed to 203.0.113.1:" in linked[1]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ports() -> None:
    first, again, other = (active_ftp().replay(seed=seed)[2] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_recording_the_steps_changes_nothing_in_what_is_written() -> None:
    target = io.BytesIO()
    replay(active_ftp_source(), target, POLICY, None, 1, Recorder())
    assert target.getvalue() == active_ftp().replay(seed=1)[2]


def test_without_the_helper_nothing_is_rewritten_and_the_data_connection_is_refused() -> None:
    summary, records, _ = active_ftp().replay(
        Policy(POLICY.inside, POLICY.public, POLICY.own, helpers=())
    )
    assert (summary.rewrites, summary.expectations) == (0, 0)
    dropped = [r for r in records if said(r).startswith("dropped")]
    assert len(dropped) == summary.reasons[Reason.UNSOLICITED] + summary.reasons[Reason.NO_FLOW] > 0
    assert Reason.UNSOLICITED.sentence in said(dropped[0])


def test_a_server_published_by_a_forward_announces_its_public_endpoint() -> None:
    remote = "198.51.100.9"
    tape = Tape()
    control = Talk(tape, (remote, 40000), ("10.0.0.5", 21))
    control.client(b"PASV\r\n")
    control.server(b"227 Entering Passive Mode (10,0,0,5,19,137)\r\n")
    data = Talk(tape, (remote, 40001), ("10.0.0.5", 5001))
    data.server(b"listing")
    forward = Forward("ftp", 6, None, PortRange(2121, 2121), to_address("10.0.0.5"), 21)
    policy = Policy(
        POLICY.inside, POLICY.public, POLICY.own, forwards=(forward,), helpers=POLICY.helpers
    )
    summary, records, _ = tape.replay(policy)
    assert summary.reasons == {Reason.TRANSLATED: summary.packets}
    assert (summary.rewrites, summary.met) == (1, 1)
    assert {p.src for p in packets(records) if p.dst == remote} == {GATEWAY}
    assert_checksums(records)


def test_unfinished_checksums_leave_finished() -> None:
    tape = Tape()
    for packet in (
        IP(src=CLIENT, dst=SERVER) / TCP(sport=5000, dport=80, flags="S"),
        IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=53) / DNS(qd=DNSQR(qname="a.test")),
    ):
        frame = bytearray(raw(Ether() / packet))
        total = pseudo_header_sum(frame[26:30], frame[30:34], packet.proto, len(frame) - 34)
        at = 34 + (16 if packet.proto == 6 else 6)
        frame[at : at + 2] = total.to_bytes(2, "big")
        tape.add(bytes(frame))
    summary, records, _ = tape.replay()
    assert summary.unfinished == 2
    assert summary.reasons[Reason.TRANSLATED] == 2
    assert all("checksum was unfinished" in said(record) for record in records)
    assert_checksums(records)


def test_an_answer_with_an_unfinished_checksum_is_taken_as_addressed_to_the_public_endpoint() -> (
    None
):
    """A receiving host's card may have merged segments; their checksum is then unfinished too."""
    tape = Tape()
    tape.add(IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=53) / b"?")
    frame = bytearray(raw(Ether() / IP(src=SERVER, dst=CLIENT) / UDP(sport=53, dport=5000) / b"!!"))
    total = pseudo_header_sum(frame[26:30], frame[30:34], 17, len(frame) - 34)
    frame[40:42] = total.to_bytes(2, "big")
    tape.add(bytes(frame))
    summary, records, _ = tape.replay()
    assert (summary.unfinished, summary.readdressed) == (1, 1)
    assert summary.reasons == {Reason.TRANSLATED: 2}
    assert_checksums(records)


def test_selective_acknowledgments_from_a_world_without_the_gateway_come_back_as_they_were() -> (
    None
):
    tape = Tape()
    control = Talk(tape, (CLIENT, 40000), (SERVER, 21))
    control.client(b"PORT 10,0,0,2,19,137\r\n")
    seen = len(b"PORT 10,0,0,2,19,137\r\n")
    noop = TCP(sport=40000, dport=21, flags="PA", seq=1001 + seen + 6, ack=0xFFFFFFF1)
    tape.add(IP(src=CLIENT, dst=SERVER) / noop / b"NOOP\r\n")
    edges = (1001 + seen + 6, 1001 + seen + 12)
    options = [("NOP", None), ("NOP", None), ("SAck", edges)]
    gap = TCP(sport=21, dport=40000, flags="A", seq=0xFFFFFFF1, ack=1001 + seen, options=options)
    tape.add(IP(src=SERVER, dst=CLIENT) / gap)
    _, records, _ = tape.replay()
    back = packets(records)[-1][TCP]
    assert (back.ack, dict(back.options)["SAck"]) == (1001 + seen, edges)
    assert_checksums(records)


def test_what_is_due_in_a_long_silence_happens_each_at_its_time() -> None:
    """The data flow dies two hours into the silence; only then does the control flow's last idle time
    begin. Let them all be due at once, at the end, and the control flow would still be there."""
    tape = Tape()
    control = Talk(tape, (CLIENT, 40000), (SERVER, 21))
    control.client(b"PORT 10,0,0,2,19,137\r\n")
    Talk(tape, (SERVER, 20), (CLIENT, 5001)).client(b"part of the file")
    tape.add(IP(src=CLIENT, dst=SERVER) / UDP(sport=1, dport=53), after=3 * 7440)
    _, records, _ = tape.replay()
    comments = said(records[-1])
    assert "flow 1 is kept alive by a linked flow" in comments
    assert comments.index("flow 2 ended") < comments.index("flow 1 ended")


def test_an_echo_captured_inside_comes_back() -> None:
    tape = Tape()
    tape.add(IP(src=CLIENT, dst=SERVER) / ICMP(type=8, id=77) / b"ping")
    tape.add(IP(src=SERVER, dst=CLIENT) / ICMP(type=0, id=77) / b"ping")
    summary, records, _ = tape.replay()
    assert summary.reasons == {Reason.TRANSLATED: 2}
    asked, answered = packets(records)
    assert (asked.src, answered.dst, answered[ICMP].id) == (GATEWAY, CLIENT, 77)
    assert_checksums(records)


def test_packets_of_a_hairpin_flow_name_it_in_both_directions() -> None:
    web = Forward("web", 17, None, PortRange(8080, 8080), to_address("10.0.0.5"), 80)
    policy = Policy(POLICY.inside, POLICY.public, POLICY.own, forwards=(web,))
    tape = Tape()
    tape.add(IP(src=CLIENT, dst=GATEWAY) / UDP(sport=5000, dport=8080))
    (asked,) = packets(tape.replay(policy)[1])
    tape.add(IP(src="10.0.0.5", dst=GATEWAY) / UDP(sport=80, dport=asked.sport))
    summary, (there, back), _ = tape.replay(policy)
    assert summary.reasons == {Reason.TRANSLATED: 2}
    opened = "opened flow 1 by hairpin, forward web: 10.0.0.2:5000 seen as "
    assert f"{opened}{GATEWAY}:{asked.sport}, with {GATEWAY}:8080, which is 10.0.0.5:80" in said(
        there
    )
    assert "(flow 1, hairpin, forward web)" in said(back)


def test_what_the_gateway_does_not_see_is_copied_with_its_reason() -> None:
    tape = Tape()
    arp = Ether() / ARP()
    tape.add(arp)
    tape.add(IP(src="127.0.0.1", dst=SERVER) / UDP())
    summary, (copied, dropped), _ = tape.replay()
    assert copied.data == raw(arp)
    assert said(copied) == f"not shown to the gateway: it {NOT_IP}"
    assert said(dropped).startswith(f"dropped: {Reason.MARTIAN.sentence}")
    assert summary.copied == {NOT_IP: 1}
    assert summary.reasons == {Reason.MARTIAN: 1}


def test_time_is_the_captures_own() -> None:
    """A mapping that idles for six minutes is gone, one that idles for four is not (RFC 4787, REQ-5)."""
    for minutes, gone in ((4, False), (6, True)):
        tape = Tape()
        tape.add(IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=53))
        tape.add(IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=53), after=minutes * 60)
        summary, (_, later), _ = tape.replay()
        assert ("before this packet: flow 1 ended: " + Reason.IDLE.sentence in said(later)) is gone
        assert summary.flows == (2 if gone else 1)
        assert summary.seconds == minutes * 60


def test_a_capture_that_steps_back_in_time_is_replayed() -> None:
    tape = Tape()
    for after in (0, 5, -4):
        tape.add(IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=53), after=after)
    summary, records, _ = tape.replay()
    assert summary.reasons == {Reason.TRANSLATED: 3}
    assert summary.seconds == 5
    assert records[2].at == START + NANOSECONDS


def test_sides_can_be_told_by_interface() -> None:
    tape = Tape()
    lan, wan = Interface("lan0", 1), Interface("wan0", 1)
    tape.add(IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=53), lan)
    tape.add(IP(src="10.0.0.3", dst=GATEWAY) / UDP(sport=5000, dport=53), wan)
    summary, (sent, spoofed), _ = tape.replay(sides=ByInterface(("lan0",), ("wan0",)))
    assert (sent.interface.name, spoofed.interface.name) == ("wan0", "wan0")
    assert summary.reasons == {Reason.TRANSLATED: 1, Reason.SPOOFED: 1}


def test_a_split_command_is_held_and_leaves_whole() -> None:
    tape = Tape()
    control = Talk(tape, (CLIENT, 40000), (SERVER, 21))
    control.client(b"PORT 10,0,0,2,")
    control.client(b"19,137\r\n")
    _, records, _ = tape.replay()
    comments = [said(record) for record in records]
    assert any(comment.startswith("held") for comment in comments)
    assert any(comment.startswith("answered by the gateway itself") for comment in comments)
    assert any(b"PORT 203,0,113,1," in record.data for record in records)


def test_damage_ends_the_replay_and_nothing_before_it_is_lost() -> None:
    whole = active_ftp().buffer.getvalue()
    target = io.BytesIO()
    summary = replay(io.BytesIO(whole[:-10]), target, POLICY)
    assert f"at byte {len(whole) - 10}" in summary.damage
    target.seek(0)
    assert len(list(capture.read(target))) == summary.packets > 20
    with pytest.raises(CaptureError, match="neither a pcap nor a pcapng"):
        replay(io.BytesIO(b"not a capture"), io.BytesIO(), POLICY)


@given(st.data())
def test_no_packet_however_odd_stops_a_replay(data: st.DataObject) -> None:
    """Bytes of real packets are damaged; every packet must come out again, translated or told why not."""
    tape = Tape()
    for record in capture.read(active_ftp_source()):
        frame = bytearray(record.data)
        for _ in range(data.draw(st.integers(0, 2))):
            at = data.draw(st.integers(12, len(frame) - 1))
            frame[at] = data.draw(st.integers(0, 255))
        tape.add(bytes(frame[: data.draw(st.integers(20, 200))]))
    summary, records, _ = tape.replay()
    assert summary.packets == summary.earlier + sum(summary.reasons.values()) + sum(
        summary.copied.values()
    )
    assert len(records) >= summary.packets - summary.reasons[Reason.TRANSLATED]
    assert all(record.comments for record in records)


def test_an_example_address_stands_in_where_the_policy_has_none() -> None:
    tape = Tape()
    tape.add(IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=53))
    summary, records, _ = tape.replay(Policy(POLICY.inside, ()))
    assert summary.public == (to_address("203.0.113.1"),)
    assert packets(records)[0].src == "203.0.113.1"
