"""`ipmasq replay` of a capture in memory: it ends with a summary or a CaptureError, writes a capture that can
be read, and a page in which nothing of the capture is markup. Packets are those of `capture`, or ones that fit each other."""

from __future__ import annotations

import struct
from io import BytesIO

from fuzz.choices import Choices
from fuzz.targets import capture as captures
from ipmasq.core.reasons import Reason
from ipmasq.planes.pcap import ByInterface, ByMac, Sides
from ipmasq.replay.html import render
from ipmasq.replay.recorder import Recorder
from ipmasq.replay.replay import replay
from ipmasq.wire import capture
from ipmasq.wire.record import CaptureError
from tests.core.odd_packets import any_packet
from tests.core.stress import INNER, OUTER, POLICY, PUBLIC

MEASURED = (
    "ipmasq.replay.replay",
    "ipmasq.replay.far_end",
    "ipmasq.replay.recorder",
    "ipmasq.replay.html",
    "ipmasq.gateway.describe",
    "ipmasq.wire.endpoints",
    "ipmasq.planes.pcap",
)
LONGEST = 300
SIDES: tuple[Sides | None, ...] = (
    None,
    None,
    ByMac(frozenset({b"\2\0\0\0\0\1"})),
    ByInterface(("",), ("outside",)),
)


def one_input(data: bytes) -> None:
    choices = Choices(data)
    sides = SIDES[choices(len(SIDES))]
    kind = choices(8)
    if kind == 0:
        file = choices.data[choices.at :]
    elif kind == 1:
        file = captures.wrapped(choices)
    else:
        file = capture_of(choices)
    target, recorder = BytesIO(), Recorder()
    try:
        summary = replay(BytesIO(file), target, POLICY, sides, recorder=recorder)
    except CaptureError:
        return
    decided = sum(summary.reasons.values()) + summary.earlier
    assert summary.packets == decided + sum(summary.copied.values())
    assert not any(reason.name == "FAULT" for reason in summary.reasons)
    assert all(isinstance(reason, Reason) for reason in summary.reasons)
    page = render(recorder.result, "fuzz", {})
    assert page.isascii() or all(each.isprintable() or each == "\n" for each in page)
    assert page.count("<tr id=") == page.count("</tr>") - 1 * bool(recorder.result.steps)
    target.seek(0)
    assert len(list(capture.read(target))) >= summary.packets


def capture_of(choices: Choices) -> bytes:
    """Raw IP packets of inside and outside hosts, seconds or hours apart."""
    file = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 101)
    at = 0
    while choices.left > 0:
        ends = (choices.pick(INNER), choices.pick((*OUTER, *INNER, *PUBLIC)))
        packet = any_packet(*(ends if choices(2) else ends[::-1]), choices)
        at += (0, 0, 1, 20, 300, 8000)[choices(6)]
        cut = len(packet) - (choices(len(packet)) if choices(16) == 0 else 0)
        file += struct.pack("<IIII", at, 0, cut, len(packet)) + packet[:cut]
    return file
