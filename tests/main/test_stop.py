"""`ipmasq stop`: what it refuses before any process is told anything."""

from __future__ import annotations

import pytest

from tests.front.conftest import Ipmasq, ipmasq

__all__ = ["ipmasq"]


@pytest.mark.parametrize("wait", ["nan", "inf", "1e9"])
def test_a_time_to_wait_that_is_no_time_is_wrong_usage(ipmasq: Ipmasq, wait: str) -> None:
    done = ipmasq("stop", "--wait", wait)
    assert done.returncode == 2
    assert "--wait: at most 86400 seconds" in done.stderr
