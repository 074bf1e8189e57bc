"""The configuration in force, as it is given to a replay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipmasq.config import HostAddress, HostState, compile, load, restate
from ipmasq.core.policy import Forward, Policy, PortRange
from ipmasq.wire.addresses import to_address

HERE = HostState(
    {
        "lan0": (HostAddress(to_address("10.0.0.1"), 24),),
        "wan0": (HostAddress(to_address("203.0.113.1"), 24),),
    }
)

FILE = """
[gateway]
inside = "lan0"
outside = "wan0"
filtering = "endpoint-independent"
default_action = "drop"
resets = false
plane = "tun"
[timeouts]
udp = "90s"
udp_ports = { 53 = "30s" }
[limits]
flows = 1234
flows_per_host = 77
[[rule]]
action = "masquerade"
to = ["198.51.100.0/24", "192.0.2.1"]
protocol = "tcp"
ports = [21, "5000-5010"]
[[trigger]]
ports = 6112
opens = "6112-6119"
[[forward]]
name = 'a "quoted" name'
port = 2121
to = "10.0.0.2:21"
[helper.ftp]
ports = [21, 2121]
[helper.tftp]
on_failure = "drop"
[control]
view_group = "nobody"
[translation_log]
file = "/nowhere/at/all"
[metrics]
listen = "127.0.0.1:1"
"""

SHARED = """
[gateway]
inside = ["10.0.0.0/24", "10.9.0.0/16"]
public = ["203.0.113.1", "203.0.113.8-203.0.113.9"]
mapping = "address-and-port-dependent"
ports = ["16384-32767", "61000-65535"]
"""


def comparable(policy: Policy) -> Policy:
    """Without what a machine knows of itself."""
    return replace(policy, own=frozenset())


@pytest.mark.parametrize("text", [FILE, SHARED], ids=["interfaces", "addresses"])
def test_a_machine_that_knows_nothing_decides_alike(tmp_path: Path, text: str):
    (tmp_path / "gateway.toml").write_text(text)
    loaded = load(tmp_path / "gateway.toml")
    policy = compile(loaded, HERE)
    again = tmp_path / "again.toml"
    again.write_text(restate(loaded, policy))
    assert load(again).problems == ()
    assert comparable(compile(load(again), HostState({}))) == comparable(policy)


def test_sections_about_anything_but_packets_are_left_out(tmp_path: Path):
    (tmp_path / "gateway.toml").write_text(FILE)
    loaded = load(tmp_path / "gateway.toml")
    text = restate(loaded, compile(loaded, HERE))
    for word in ("control", "view_group", "nowhere", "metrics", "plane"):
        assert word not in text


def test_what_the_operator_has_changed_since_is_in_it(tmp_path: Path):
    (tmp_path / "gateway.toml").write_text(SHARED)
    loaded = load(tmp_path / "gateway.toml")
    policy = compile(loaded, HERE)
    added = Forward("new", 6, None, PortRange(80, 80), to_address("10.0.0.7"), 8080)
    times = replace(policy.timeouts, udp=33.0)
    changed = replace(policy, forwards=(added,), helpers=(), timeouts=times)
    (tmp_path / "again.toml").write_text(restate(loaded, changed))
    found = load(tmp_path / "again.toml")
    assert found.problems == ()
    assert comparable(compile(found, HostState({}))) == comparable(changed)


def test_a_helper_that_was_loaded_since_is_in_it(tmp_path: Path):
    (tmp_path / "gateway.toml").write_text(SHARED)
    loaded = load(tmp_path / "gateway.toml")
    (tmp_path / "tftp.toml").write_text(f"{SHARED}[helper.tftp]\n")
    both = compile(load(tmp_path / "tftp.toml"), HERE)
    (tmp_path / "again.toml").write_text(restate(loaded, both))
    assert {use.name for use in compile(load(tmp_path / "again.toml"), HERE).helpers} == {
        "ftp",
        "tftp",
    }


def test_the_file_of_a_helper_is_found_from_elsewhere(tmp_path: Path):
    (tmp_path / "hello.py").write_text(
        "from ipmasq.core.helper import Helper\n"
        "class Hello(Helper):\n    name, ports, orthogonal = 'hello', (79,), True\n"
        "    def on_line(self, line, context): pass\n"
    )
    (tmp_path / "gateway.toml").write_text(f'{SHARED}[helper.hello]\nfile = "hello.py"\n')
    loaded = load(tmp_path / "gateway.toml")
    (tmp_path / "below").mkdir()
    again = tmp_path / "below" / "again.toml"
    again.write_text(restate(loaded, compile(loaded, HERE)))
    assert "hello" in load(again).helpers
