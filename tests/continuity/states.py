"""A state as a gateway leaves it, with something of all that a person may ask for."""

from __future__ import annotations

from pathlib import Path

from ipmasq.continuity.contents import VERSION_NAME
from ipmasq.continuity.encoding import encode
from ipmasq.continuity.kept import BOOT
from ipmasq.continuity.sqlite import SqliteStore
from ipmasq.core.changes import Kind, Record
from ipmasq.core.side import Side
from ipmasq.wire.addresses import to_address
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.core.conversation import INSIDE, OUTSIDE, Conversation

ABOUT = {BOOT: "first", "namespace": "7"}

PASSWORD = b"PASS my-secret\r\n"

WALL = 1_800_000_000.0

CHANGED = {
    VERSION_NAME: "1.2.3",
    "forwards": [["web", [6, None, 80, 81, to_address("10.0.0.2"), 8080]], ["old", None]],
    "helpers": [["finger", ["/root/finger.py", None]], ["tftp", None]],
    "timeouts": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, []],
}


def batches() -> tuple[bytes, bytes]:
    """An FTP session whose client has announced where it listens, and a line of it that is not whole; and two UDP flows. The
    second batch has the UDP flows."""
    talk = Conversation().open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    talk.client(PASSWORD[:-2])
    before = {(each.kind, each.key) for each in talk.engine.records(talk.now)}
    for port in (5000, 5001):
        packet = packets.udp(INSIDE.address, port, OUTSIDE.address, 53)
        talk.engine.receive(Packet(bytearray(packet)), Side.INSIDE, talk.now)
    records = list(talk.engine.records(talk.now))
    first = [each for each in records if (each.kind, each.key) in before]
    first += [Record(Kind.GATEWAY, name, row) for name, row in CHANGED.items()]
    second = [each for each in records if (each.kind, each.key) not in before]
    return encode(100.0, WALL, first), encode(110.0, WALL + 10, second)


def write(path: Path, *more: bytes, about: dict[str, str] = ABOUT) -> Path:
    """Write a state with these batches, by default with `batches`."""
    store = SqliteStore(path, about)
    for each in more or batches():
        store.append(each)
    store.close()
    return path
