"""What is written down can be read again."""

from __future__ import annotations

import json

import pytest

from ipmasq.core.policy import PortRange
from ipmasq.planes.tun import changes
from ipmasq.planes.tun.steering import RoutingRule
from ipmasq.wire.addresses import to_network


@pytest.mark.parametrize(
    "change",
    [
        changes.RuleAdded(2, RoutingRule(3, 255)),
        changes.RuleAdded(
            2, RoutingRule(1, 255, "wan", to_network("203.0.113.1"), 6, PortRange(1, 60999))
        ),
        changes.LocalRuleRemoved(2, 0, 2),
        changes.UnreachableAdded(2, 61001),
        changes.ProxyAdded(4, "203.0.113.50"),
        changes.SettingChanged("/proc/sys/net/ipv4/ip_forward", "0", "1"),
        changes.BpffsMounted("/run/ipmasq/bpf-1-2"),
        changes.ProgramsPinned("/sys/fs/bpf/ipmasq-1-2"),
    ],
    ids=lambda change: type(change).__name__,
)
def test_a_change_survives_being_written_down(change: changes.Change) -> None:
    assert changes.read(json.loads(json.dumps(change.written()))) == change


@pytest.mark.parametrize(
    "nonsense", [{}, {"change": "Nothing"}, {"change": "ProxyAdded"}, {"change": "RuleAdded"}]
)
def test_nonsense_is_no_change(nonsense: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        changes.read(nonsense)


def test_every_kind_of_change_can_be_read() -> None:
    named = {kind.__name__ for kind in changes.Change.__subclasses__()}
    assert named == {
        "RuleAdded",
        "LocalRuleRemoved",
        "UnreachableAdded",
        "ProxyAdded",
        "SettingChanged",
        "BpffsMounted",
        "ProgramsPinned",
    }


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/proc/sys/kernel/core_pattern", "/proc/sys/net/../kernel/core_pattern", ""],
)
def test_a_record_that_names_a_file_elsewhere_is_refused(path: str):
    good = changes.SettingChanged("/proc/sys/net/ipv4/ip_forward", "0", "1").written()
    assert changes.read(good).written() == good
    with pytest.raises(ValueError, match="is not below /proc/sys/net"):
        changes.read({**good, "path": path})
