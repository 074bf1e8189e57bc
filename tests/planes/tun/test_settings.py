"""Kernel settings, computed from what they are now."""

from __future__ import annotations

import pytest

from ipmasq.core.policy import PortRange
from ipmasq.planes.tun import settings


@pytest.mark.parametrize(
    ("was", "more", "becomes"),
    [
        ("", [PortRange(61000, 65095)], "61000-65095"),
        ("8080,9148", [PortRange(61000, 65095)], "8080,9148,61000-65095"),
        ("60000-62000", [PortRange(61000, 65095)], "60000-65095"),
        ("80", [], "80"),
    ],
)
def test_reserved_ports_are_extended(was: str, more: list[PortRange], becomes: str) -> None:
    assert settings.reserved_ports(was, more) == becomes


def test_a_range_that_covers_the_ephemeral_ports_leaves_none() -> None:
    assert settings.none_left("32768\t60999", [PortRange(1024, 65535)])
    assert settings.none_left("32768\t60999", [PortRange(1024, 40000), PortRange(40001, 65535)])
    assert not settings.none_left("32768\t60999", [PortRange(1024, 60998)])
    assert not settings.none_left("32768\t60999", [])


def test_without_a_filter_for_all_nothing_changes() -> None:
    assert settings.rp_filters({"all": 0, "eth0": 1}) == {}


def test_a_filter_for_all_is_given_to_each_before_it_is_taken_away() -> None:
    changed = settings.rp_filters({"all": 1, "default": 0, "eth0": 2, "eth1": 0})
    assert {path.split("/")[-2]: value for path, value in changed.items()} == {
        "default": "1",
        "eth1": "1",
        "all": "0",
    }
    assert list(changed)[-1].endswith("/all/rp_filter")
