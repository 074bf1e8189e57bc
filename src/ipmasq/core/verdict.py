"""What the engine answers to a packet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ipmasq.core.offloading import Command
from ipmasq.core.reasons import Reason
from ipmasq.wire.packet import Packet


class Verdict(NamedTuple):
    """What became of a packet, and what is to be sent now: often the packet itself, rewritten; if it went
    nowhere, what its sender is told. The commands are to be carried out before that, in their order."""

    reason: Reason
    packets: Sequence[Packet] = ()
    commands: Sequence[Command] = ()
