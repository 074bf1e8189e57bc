"""Classic captures, against scapy."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.all import Ether, PcapWriter

from ipmasq.wire.record import Interface, Record
from tests.wire.captures import FRAME, read


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_scapys_classic_captures_are_read_in_both_orders_and_resolutions(
    tmp_path: Path, order: str, nano: bool
) -> None:
    path = tmp_path / "in.pcap"
    made = Ether(FRAME)
    made.time = 1700000000.5
    with PcapWriter(str(path), endianness=order, nano=nano) as writer:
        writer.write(made)
    assert read(path.read_bytes()) == [
        Record(1_700_000_000_500_000_000, Interface("", 1, 65535), FRAME, len(FRAME))
    ]
