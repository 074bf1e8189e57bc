"""The benches of the engine run and every packet of theirs passes: they are not part of the tests otherwise,
and a new rule that refuses their packets would be noticed only by who measures next.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bench import engine_new, engine_speed

MEASURES = (
    *(engine_speed.offloadable_udp, engine_speed.offloadable_tcp, engine_speed.ftp_sessions),
    *(engine_new.udp, engine_new.tcp),
)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_bench_of_the_engine_runs_and_all_its_packets_pass(
    measure: Callable[[int], list[float]],
) -> None:
    (rate,) = measure(1)
    assert rate > 0
