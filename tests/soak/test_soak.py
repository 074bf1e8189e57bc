"""A short soak on every plane: the long one is `make soak`."""

from __future__ import annotations

import pytest

from tests.soak.__main__ import PLANES
from tests.soak.soak import Plan, soak
from tests.soak.verdict import judge, told

pytestmark = pytest.mark.live


@pytest.mark.parametrize("plane", PLANES)
def test_under_a_mixed_load_no_byte_is_lost_and_nothing_is_left_behind(plane: str) -> None:
    outcome = soak(Plan(minutes=0.3, plane=plane, act=1.0), print)
    print(told(outcome))
    assert judge(outcome) == []
