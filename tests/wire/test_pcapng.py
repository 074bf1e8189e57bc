"""Captures in blocks, against scapy and tshark."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.all import Ether, PcapNgWriter, RawPcapNgReader

from ipmasq.wire.record import Interface, Record
from tests.wire.captures import FRAME, block, interface, packet, read, section, written

interfaces = st.builds(
    Interface,
    st.text(max_size=8).filter(lambda t: "\0" not in t),
    st.sampled_from((1, 101, 113)),
    st.integers(0, 0xFFFFFFFF),
)


comments = st.lists(st.text(max_size=60).filter(lambda t: "\0" not in t), max_size=3).map(tuple)


records = st.builds(
    lambda at, interface, data, cut, said: Record(at, interface, data, len(data) + cut, said),
    st.integers(0, 2**63),
    interfaces,
    st.binary(max_size=80),
    st.integers(0, 9),
    comments,
)


def tshark(path: Path, *fields: str) -> list[list[str]]:
    program = shutil.which("tshark")
    assert program, "tshark is needed (Debian package tshark)"
    asked = [word for field in fields for word in ("-e", field)]
    command = [program, "-n", "-r", str(path), "-T", "fields", "-E", "separator=/t", *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [line.split("\t") for line in done.stdout.splitlines()]


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


@given(st.lists(records, max_size=8))
def test_what_is_written_is_read_back(wanted: list[Record]) -> None:
    assert read(written(*wanted)) == wanted


def test_scapys_pcapng_is_read_with_its_comment(tmp_path: Path) -> None:
    path = tmp_path / "in.pcapng"
    made = Ether(FRAME)
    made.time, made.comments = 1700000000.25, [b"said by scapy"]
    with PcapNgWriter(str(path)) as writer:
        writer.write(made)
    (record,) = read(path.read_bytes())
    assert (record.at, record.data) == (1_700_000_000_250_000_000, FRAME)
    assert record.comments == ("said by scapy",)


def test_tshark_reads_comments_interfaces_and_nanoseconds(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    inside, outside = Interface("inside", 1), Interface("outside", 1)
    path.write_bytes(
        written(
            Record(1_700_000_000_123_456_789, inside, FRAME, len(FRAME), ("first, ümlaut",)),
            Record(1_700_000_001_000_000_001, outside, FRAME, len(FRAME) + 9),
        )
    )
    assert tshark(
        path, "frame.time_epoch", "frame.interface_name", "frame.len", "frame.comment", "udp.dstport"
    ) == [
        ["1700000000.123456789", "inside", str(len(FRAME)), "first, ümlaut", "2"],
        ["1700000001.000000001", "outside", str(len(FRAME) + 9), "", "2"],
    ]  # fmt: skip


def test_scapy_reads_every_comment(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    path.write_bytes(written(Record(5, Interface("a", 1), FRAME, len(FRAME), ("one", "two"))))
    ((data, metadata),) = list(RawPcapNgReader(str(path)))
    assert data == FRAME
    assert metadata.comments == [b"one", b"two"]


@pytest.mark.parametrize("order", ["<", ">"])
def test_sections_interfaces_resolutions_and_offsets_are_told_apart(order: str) -> None:
    other = ">" if order == "<" else "<"
    data = (
        section(order)
        + interface(order, 1, 0, option(order, 2, b"lan0\0") + option(order, 9, b"\x03"))
        + interface(order, 101, 0, option(order, 9, b"\x81") + option(order, 14, struct.pack(order + "q", 10)))
        + block(order, 0x0BAD, b"a kind that nobody knows")
        + packet(order, 0, 5, b"milliseconds")
        + packet(order, 1, 3, b"half seconds, and ten more", option(order, 1, b"why"))
        + section(other)
        + interface(other, 113)
        + packet(other, 0, 7, b"microseconds")
    )  # fmt: skip
    assert [(r.at, r.interface.name, r.interface.link, r.data, r.comments) for r in read(data)] == [
        (5_000_000, "lan0", 1, b"milliseconds", ()),
        (11_500_000_000, "", 101, b"half seconds, and ten more", ("why",)),
        (7_000, "", 113, b"microseconds", ()),
    ]


def test_a_simple_packet_has_the_time_of_the_one_before_and_the_interfaces_snap_length() -> None:
    data = (
        section("<")
        + interface("<", 1, 4)
        + packet("<", 0, 9, b"abcd")
        + block("<", 3, struct.pack("<I", 100) + b"efgh")
    )
    assert [(r.at, r.data, r.length) for r in read(data)] == [
        (9000, b"abcd", 4),
        (9000, b"efgh", 100),
    ]


def test_an_obsolete_packet_block_is_read() -> None:
    old = block("<", 2, struct.pack("<HHIIII", 0, 0, 0, 9, 4, 4) + b"abcd")
    assert [(r.at, r.data) for r in read(section("<") + interface("<") + old)] == [(9000, b"abcd")]


def test_a_comment_too_long_for_its_option_is_cut() -> None:
    (record,) = read(written(Record(1, Interface("a", 1), b"abc", 3, ("é" * 40_000,))))
    assert record.comments[0].rstrip("\N{REPLACEMENT CHARACTER}") == "é" * 32_767
