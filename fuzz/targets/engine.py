"""The engine: packets of both sides, connections, fragments, jumps of time, and what an operator does.

Everything that can happen, and the laws, are in `tests/core/stress.py`.
"""

from __future__ import annotations

from fuzz.choices import Choices
from tests.core.stress import Stress

MEASURED = tuple(
    f"ipmasq.core.{name}"
    for name in (
        *(
            "admission",
            "attachment",
            "claims",
            "engine",
            "errors",
            "expectations",
            "explain",
            "flow",
        ),
        *("flow_manager", "framing", "helping", "mapping_table", "opening", "operate", "ports"),
        *("reassembly", "snapshots", "stream", "table", "tcp_inspector", "tcp_rewriter"),
        *("tcp_states", "timers", "tracking", "translate"),
    )
)
LONGEST = 400
OFTEN = 16
"""One event in so many is whatever an operator may do; otherwise nothing would live for long."""


def one_input(data: bytes) -> None:
    stress, choices = Stress(), Choices(data)
    packets = [event for event in Stress.EVENTS if event not in Stress.OPERATOR]
    steps = 0
    while choices.left > 0:
        kind = choices(256)
        if kind < 256 // OFTEN * 2:
            event = choices.pick(Stress.OPERATOR)
        else:
            event = packets[kind % len(packets)]
        event(stress, choices)
        steps += 1
        if steps % 16 == 0:
            stress.check()
    stress.check()
