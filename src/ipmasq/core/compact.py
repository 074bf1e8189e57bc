"""Plain flows and their mappings as rows of a fixed size, from which a flow can be restored without looking at any
other.

A *plain* flow is what nearly all flows are: no helper inspects it, it is linked with no other, and it is in no order
but that of its number. Its row begins with the keys of its two directions, so that it is found by a slice of its row.
Every other flow, and IPv6, has a record only (see `records`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from ipmasq.core.plain import StateError
from ipmasq.core.rows import Rows
from ipmasq.core.tcp_states import State
from ipmasq.wire import ipv4

KEY = 12
"""Bytes of the key of a flow, IPv4."""

FLOW = struct.Struct("<BB12sBB12sBBBB24s3d6Q2Q")
"""Protocol, side of the client, key of what the server sends as it leaves; protocol, side of the server, key of what the
client sends as it leaves; reach, bits (see below), the kind of origin and the length of its name; the name; ages in
seconds; packets, bytes and position of both directions; marks of both."""

IS_OFFLOADABLE, HAS_MAPPING, HAS_FLAG, HAS_MARKS = 1, 2, 4, 8
"""Bits of a row."""

BACK, OUT = slice(0, 2 + KEY), slice(2 + KEY, 4 + 2 * KEY)
"""Where a row has the keys, with protocol and side before them."""

VALUES = 29
"""How many values a flow's record has."""

BITS, NAME_LENGTH = 29, 31
"""Where it has its bits, and the length of its name."""

LONGEST_NAME = 24
NAME = slice(32, 32 + LONGEST_NAME)

MAPPING = struct.Struct("<BB14s")
"""The length of the key, bits (is it narrow, is it current), and the key; see `Mapping.from_state`."""

IS_NARROW, IS_CURRENT = 1, 2
"""Its bits."""

LONGEST_KEY = 14

PLAIN = {ipv4.TCP: State.ESTABLISHED, ipv4.UDP: State.ACTIVE, ipv4.ICMP: State.ACTIVE}
"""The states of plain flows by protocol."""


def pack_flow(row: Any) -> bytes | None:
    """Return a flow's record (`records.FLOW_NAMES`) as a row of `FLOW`, or None if the flow is not plain. Values that no
    record has are not checked."""
    if not isinstance(row, tuple | list) or len(row) != VALUES:
        return None
    (protocol, sides, reach, out, out_packets, out_bytes, out_position, back, back_packets, back_bytes, back_position,
     opened, last_seen, state, offloadable, has_mapping, has_server_mapping, kind, name, flag,
     master, due, inspector, _, over, unconfirmed, unconfirmed_inspected, syn, marks) = row  # fmt: skip
    if (
        not (inspector is master is over is unconfirmed is unconfirmed_inspected is syn is None)
        or has_server_mapping
        or due is None
        or len(out) != KEY
        or PLAIN.get(protocol) != state
        or len(text := name.encode()) > LONGEST_NAME
    ):
        return None
    bits = offloadable | has_mapping << 1 | flag << 2 | (marks is not None) << 3
    return FLOW.pack(
        protocol, sides >> 1, back, protocol, sides & 1, out, reach, bits, kind, len(text), text,
        opened, last_seen, due,
        out_packets, out_bytes, out_position, back_packets, back_bytes, back_position, *(marks or (0, 0)),
    )  # fmt: skip


def unpack_flow(row: bytes) -> tuple[object, ...]:
    """Return a row of `FLOW` as a flow's record."""
    (protocol, client, back, _, server, out, reach, bits, kind, length, name, opened, last_seen, due,
     out_packets, out_bytes, out_position, back_packets, back_bytes, back_position,
     *marks) = FLOW.unpack(row)  # fmt: skip
    return (
        protocol, client << 1 | server, reach,
        out, out_packets, out_bytes, out_position, back, back_packets, back_bytes, back_position,
        opened, last_seen, int(PLAIN[protocol]), bool(bits & IS_OFFLOADABLE), bool(bits & HAS_MAPPING), False,
        kind, name[:length].decode(), bool(bits & HAS_FLAG), None, due, None, None, None, None, None, None,
        tuple(marks) if bits & HAS_MARKS else None,
    )  # fmt: skip


def pack_mapping(row: Any) -> bytes | None:
    """Return a mapping's record as a row of `MAPPING`, or None if it does not fit."""
    if not isinstance(row, tuple | list) or len(row) != 3:
        return None
    key, is_narrow, is_current = row
    if len(key) > LONGEST_KEY:
        return None
    return MAPPING.pack(len(key), is_narrow | is_current << 1, key)


def unpack_mapping(row: bytes) -> tuple[object, ...]:
    """Return the record of a mapping's row."""
    length, bits, key = MAPPING.unpack(row)
    return key[:length], bool(bits & IS_NARROW), bool(bits & IS_CURRENT)


@dataclass(slots=True)
class Compact:
    """The last rows of plain flows and of mappings, by their numbers."""

    flows: dict[int, bytes] = field(default_factory=dict)
    moments: dict[int, float] = field(default_factory=dict)
    """When the rows of the flows were written; see `restoring.Kept`."""
    mappings: dict[int, bytes] = field(default_factory=dict)

    def check_rows(self) -> None:
        """Raise StateError if a row has a value that no flow or mapping can have."""
        if {len(row) for row in self.flows.values()} - {FLOW.size}:
            raise StateError("state: a row of a flow has another length")
        if {len(row) for row in self.mappings.values()} - {MAPPING.size}:
            raise StateError("state: a row of a mapping has another length")
        check_flows(Rows.of(self.flows, FLOW.size))
        check_mappings(Rows.of(self.mappings, MAPPING.size))


def check_flows(rows: Rows) -> None:
    """Raise StateError if a row of a flow has a value that no flow has."""
    if rows.column(0) != rows.column(14) or any(
        rows.column(at).translate(None, values) for at, values in _VALUES.items()
    ):
        raise StateError("state: a row of a flow has a value that no flow has")
    if any(rows.column(NAME_LENGTH)):
        try:
            for name in set(rows.slices(NAME.start, LONGEST_NAME)):
                name.decode()
        except UnicodeDecodeError as error:
            raise StateError("state: the origin of a flow has no name") from error


_VALUES = {
    0: bytes(PLAIN),
    1: bytes(range(2)),
    15: bytes(range(2)),
    28: bytes(range(31)),
    BITS: bytes(range(16)),
    30: bytes(range(5)),
    NAME_LENGTH: bytes(range(LONGEST_NAME + 1)),
}
"""The values that there can be at a place of a flow's row."""


_LENGTHS = bytes(range(LONGEST_KEY + 1))


def check_mappings(rows: Rows) -> None:
    """Raise StateError if a row of a mapping has a value that no mapping has."""
    if rows.column(0).translate(None, _LENGTHS) or rows.column(1).strip(b"\0\1\2\3"):
        raise StateError("state: a row of a mapping has a value that no mapping has")
