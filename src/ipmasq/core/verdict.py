"""What the engine answers to a packet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ipmasq.core.offloading import Command
from ipmasq.core.reasons import Reason
from ipmasq.wire.packet import Packet


class Verdict(NamedTuple):
    """The outcome of a packet, and what is to be sent now: often the packet itself, rewritten, or an answer
    to its sender if it is dropped. The commands are to be carried out before that, in their order."""

    reason: Reason
    packets: Sequence[Packet] = ()
    commands: Sequence[Command] = ()
