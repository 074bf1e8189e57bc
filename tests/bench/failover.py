"""How long a flow pauses when the machine of the active gateway is lost, or its role is handed over, with the shipped
configuration of keepalived; and its control lines, in the same way, since a line waits for the same."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.figures import Figure, bench
from tests.live.continuity.pair import NAMES, Pair, eventually, pair
from tests.live.continuity.test_keepalived import is_active, start_keepalived
from tests.live.continuity.traffic import Datagrams


@bench("failover")
def failover(runs: int) -> Iterator[Figure]:
    for word, lose in (("crash", _lose), ("handover", _hand_over)):
        yield Figure(f"failover.{word}.s", "s", [_pause(lose) for _ in range(max(runs, 10))])


def _pause(lose: Callable[[Pair], None]) -> float:
    """Seconds between two answers of a datagram flow that asks every 10 ms."""
    with (
        tempfile.TemporaryDirectory() as directory,
        tempfile.TemporaryDirectory(prefix="ipmasq-ha", dir="/run") as scripts,
        pair(Path(directory)) as two,
    ):
        two.start_store()
        for name in NAMES:
            two.start_gateway(name, "ebpf-tc")
            start_keepalived(two, name, Path(scripts))
            if name == "gw1":
                eventually(lambda: is_active(two, "gw1"))
        eventually(lambda: two.follows("gw2"))
        datagrams = Datagrams(two)
        eventually(lambda: datagrams.answered > 200)
        datagrams.pause = 0.0
        lose(two)
        eventually(lambda: is_active(two, "gw2"))
        datagrams.check()
        return datagrams.pause


def _lose(two: Pair) -> None:
    two.cut("gw1")
    for name in ("keepalived-gw1", "gw1"):
        two.kill(name)


def _hand_over(two: Pair) -> None:
    two.kill("keepalived-gw1", signal.SIGTERM)
