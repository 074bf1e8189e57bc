"""The two sides of the gateway."""

from __future__ import annotations

from ipmasq.core.side import Side


def test_each_side_is_the_others_other():
    assert [side.other for side in Side] == [Side.OUTSIDE, Side.INSIDE]
    assert all(side.other.other is side for side in Side)
