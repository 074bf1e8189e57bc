"""What ends is freed at once: nobody has to look for it (`ipmasq.gateway.garbage`)."""

from __future__ import annotations

import gc
from random import Random

from tests.core.stress import Stress

EVENTS = 5_000


def test_whatever_happens_to_an_engine_leaves_no_cycles_behind() -> None:
    stress, chance = Stress(), Random(1)
    gc.collect()
    gc.disable()
    try:
        for _ in range(EVENTS):
            happen = chance.choice(Stress.EVENTS)
            happen(stress, chance.randrange)
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert stress.received > EVENTS / 3
