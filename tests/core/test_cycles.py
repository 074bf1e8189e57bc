"""What ends is freed at once: nobody has to look for it (`ipmasq.gateway.garbage`)."""

from __future__ import annotations

import gc
from random import Random

from tests.core.turmoil import Turmoil

EVENTS = 5_000


def test_whatever_happens_to_an_engine_leaves_no_cycles_behind() -> None:
    turmoil, chance = Turmoil(), Random(1)
    gc.collect()
    gc.disable()
    try:
        for _ in range(EVENTS):
            happen = chance.choice(Turmoil.EVENTS)
            happen(turmoil, chance.randrange)
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert turmoil.received > EVENTS / 3
