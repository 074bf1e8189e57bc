""""""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipmasq.config import ConfigError, compile, load
from ipmasq.core.policy import (
    Action,
    Behaviour,
    Limits,
    OnFailure,
    Policy,
    PortRange,
    Timeouts,
    Trigger,
)
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire.addresses import to_address, to_network
from tests.config.marked import GATEWAY, HERE, host


def compiled(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    return compile(load(file), HERE)


def test_a_short_file_means_the_defaults_of_the_policy(tmp_path: Path):
    policy = compiled(tmp_path, GATEWAY)
    own = frozenset(map(to_address, ("127.0.0.1", "203.0.113.1", "203.0.113.2", "10.0.0.1")))
    defaults = Policy(
        inside=(to_network("10.0.0.0/24"),), public=(to_address("203.0.113.1"),), own=own
    )
    ours = {"helpers": (), "ports": defaults.ports, "limits": defaults.limits}
    assert replace(policy, **ours) == defaults
    # What this host does not take for itself; a host leaves a quarter of it to others.
    assert str(policy.ports) == "1024-32767, 61000-65535"
    assert policy.limits == replace(defaults.limits, ports_per_host=27_210)
    (ftp,) = policy.helpers
    assert (ftp.name, ftp.make, ftp.protocol, ftp.ports) == ("ftp", Ftp, 6, {21})
    assert (ftp.orthogonal, ftp.on_failure) == (True, OnFailure.PASS)
    assert (ftp.expectations_per_flow, ftp.expectations_per_host, ftp.expectation_life) == (
        4,
        64,
        300,
    )


@pytest.mark.row("4787-8a", "5382-3a", "4787-5b", "5382-5a", "5508-2a", "6888-4")
def test_every_setting_arrives_in_the_policy(tmp_path: Path):
    policy = compiled(
        tmp_path,
        """
[gateway]
inside = ["10.0.0.0/24"]
outside = "eth0"
ports = "1024-65535"
data_ports = "50000-50999"
mapping = "address-dependent"
filtering = "address-and-port-dependent"
default_action = "drop"
icmp_errors = false
resets = false
[timeouts]
tcp_established = "3h"
tcp_opening = "5m"
tcp_closing = "6m"
udp = 301
icmp = "61s"
fragment = 0.5
udp_ports = { 53 = "30s", 123 = 60 }
[limits]
flows = 1
flows_per_host = 2
ports_per_host = 7
fragmented_datagrams = 3
stream_bytes = 4
icmp_errors = 11
icmp_errors_per_host = 12
resets = 13
resets_per_host = 14
[[trigger]]
name = "irc"
ports = "6660-6669"
opens = 113
life = "1m"
[[trigger]]
protocol = "udp"
ports = 5
opens = "7-9"
opens_protocol = "tcp"
[helper.ftp]
ports = [21, "2121-2123"]
on_failure = "drop"
expectations_per_flow = 5
expectations_per_host = 6
expectation_life = "30s"
""",
    )
    assert policy.ports == PortRange(1024, 65535)
    assert policy.data_ports == PortRange(50000, 50999)
    assert policy.mapping is Behaviour.ADDRESS_DEPENDENT
    assert policy.filtering is Behaviour.ADDRESS_AND_PORT_DEPENDENT
    assert policy.default_action is Action.DROP
    assert policy.timeouts == Timeouts(10800, 300, 360, 301, 61, 0.5, {53: 30, 123: 60})
    assert (policy.icmp_errors, policy.resets) == (False, False)
    answers = {"icmp_errors": 11, "icmp_errors_per_host": 12, "resets": 13, "resets_per_host": 14}
    assert policy.limits == Limits(1, 2, 7, 3, 4, **answers)
    assert policy.triggers == (
        Trigger("irc", 6, PortRange(6660, 6669), 6, PortRange(113, 113), 60.0),
        Trigger("udp-5", 17, PortRange(5, 5), 6, PortRange(7, 9), 600.0),
    )
    (ftp,) = policy.helpers
    assert ftp.ports == {21, 2121, 2122, 2123}
    assert ftp.on_failure is OnFailure.DROP
    assert (ftp.expectations_per_flow, ftp.expectations_per_host, ftp.expectation_life) == (
        5,
        6,
        30,
    )


@pytest.mark.row("6888-4")
def test_unless_it_is_said_a_host_may_have_three_quarters_of_the_ports(tmp_path: Path):
    for ports, share in (("50000-50099", 75), ("50000", 1)):
        assert compiled(tmp_path, f'{GATEWAY}\nports = "{ports}"').limits.ports_per_host == share


def test_a_changed_address_is_followed_without_reading_any_file_again(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(GATEWAY)
    loaded = load(file)
    file.unlink()
    before = compile(loaded, HERE)
    moved = replace(HERE, interfaces={**HERE.interfaces, "eth0": (host("198.51.100.7/24"),)})
    after = compile(loaded, moved)
    assert after.public == (to_address("198.51.100.7"),)
    assert before.helpers == after.helpers
    gone = replace(HERE, interfaces={**HERE.interfaces, "eth0": ()})
    assert compile(loaded, gone).public == ()


@pytest.mark.row("4787-7")
def test_an_address_that_moves_into_the_inside_network_is_refused_loudly(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(GATEWAY)
    moved = replace(HERE, interfaces={"eth0": (host("10.0.0.9/24"),)})
    with pytest.raises(ConfigError, match=r"10\.0\.0\.9 is in the inside network 10\.0\.0\.0/24"):
        compile(load(file), moved)


def test_a_file_with_mistakes_is_never_compiled(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"gateway\.toml:4: gateway\.ports: there is no port 0"):
        compiled(tmp_path, GATEWAY + "ports = 0\n")


@pytest.mark.parametrize(("memory", "flows"), [(64 << 30, 1_000_000), (512 << 20, 131_072), (1, 1)])
def test_there_are_no_more_flows_than_the_memory_is_enough_for(
    tmp_path: Path, memory: int, flows: int
):
    (tmp_path / "gateway.toml").write_text(GATEWAY)
    loaded = load(tmp_path / "gateway.toml")
    assert compile(loaded, replace(HERE, memory=memory)).limits.flows == flows
