"""What is said where no gateway answers."""

from __future__ import annotations

import pytest

from ipmasq.control.leftovers import hint
from ipmasq.planes.leftovers import Leftovers
from ipmasq.planes.tun.changes import UnreachableAdded


@pytest.mark.parametrize("left", [Leftovers(), Leftovers([UnreachableAdded(2, 61001)])])
def test_that_a_gateway_was_killed_is_said_if_something_of_it_is_left(
    monkeypatch: pytest.MonkeyPatch, left: Leftovers
) -> None:
    """What it leaves takes root and a kernel; `tests/live/test_undo.py` has that."""
    monkeypatch.setattr("ipmasq.planes.leftovers.find_leftovers", lambda: left)
    assert ("ipmasq undo" in hint()) is bool(left)
