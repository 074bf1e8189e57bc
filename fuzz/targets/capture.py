"""Reading captures, and link layers: any bytes are a capture, or a CaptureError with its place.

The first byte chooses between the file as it is, and records that are wrapped well so that what is in them
is reached. What is read and written again reads the same.
"""

from __future__ import annotations

import struct
from io import BytesIO

from fuzz.choices import Choices
from ipmasq.wire import capture, ethernet, partial, pcapng
from ipmasq.wire.record import CaptureError, Record

MEASURED = (
    "ipmasq.wire.capture",
    "ipmasq.wire.pcap",
    "ipmasq.wire.pcapng",
    "ipmasq.wire.record",
    "ipmasq.wire.ethernet",
    "ipmasq.wire.partial",
)
LONGEST = 128
LINKS = (0, 1, 12, 14, 101, 108, 113, 228, 229, 276, 7, 65535)
KINDS = (1, 2, 3, 6, 5, 0x0A0D0D0A)


def one_input(data: bytes) -> None:
    file = data[1:]
    if data[:1] >= b"\x60":
        file = wrapped(Choices(file))
    records = read(file)
    for record in records:
        look_into(record)
    if records:
        assert read(written(records)) == records


def wrapped(choices: Choices) -> bytes:
    """A capture whose lengths are right, mostly."""
    order = choices.pick("<>")
    if choices(3) == 0:
        magic = 0xA1B2C3D4 if choices(2) else 0xA1B23C4D
        file = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, choices(99), choices.pick(LINKS))
        while choices.left > 0:
            packet = choices.bytes(choices(90))
            length = len(packet) + choices(3)
            file += struct.pack(
                order + "IIII", choices(1 << 32), choices(1 << 32), len(packet), length
            )
            file += packet
        return file
    file = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    file += block(order, 1, struct.pack(order + "HHI", choices.pick(LINKS), 0, 0))
    while choices.left > 0:
        kind, body = choices.pick(KINDS), b""
        if kind == 1:
            body = struct.pack(order + "HHI", choices.pick(LINKS), 0, choices(90))
        elif kind == 6:
            size = choices(60)
            body = struct.pack(
                order + "IIIII", choices(2), choices(256), choices(1 << 32), size, size
            )
            body += choices.bytes(size).ljust(size + 3 & ~3, b"\0")
        file += block(order, kind, body + choices.bytes(4 * choices(12)))
    return file


def block(order: str, kind: int, body: bytes) -> bytes:
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def read(file: bytes) -> list[Record]:
    """The records before the damage, if there is any; its place is in the file."""
    records: list[Record] = []
    damage = _read_into(records, file)
    if damage is not None:
        assert 0 <= damage.position <= len(file)
        assert str(damage)
    return records


def _read_into(records: list[Record], file: bytes) -> CaptureError | None:
    try:
        records.extend(capture.read(BytesIO(file)))
    except CaptureError as error:
        return error
    return None


def look_into(record: Record) -> None:
    assert record.at >= 0
    frame = ethernet.read(record.interface.link, record.data)
    if frame is None:
        return
    assert frame.head + frame.packet + frame.tail == record.data
    assert frame.packet
    assert frame.turned().turned() == frame
    frame.around(frame.packet)
    data = bytearray(frame.packet)
    if partial.is_partial(data):
        partial.complete(data)
        assert not partial.is_partial(data)


def written(records: list[Record]) -> bytes:
    target = BytesIO()
    writer = pcapng.Writer(target)
    for record in records:
        writer.write(record)
    return target.getvalue()
