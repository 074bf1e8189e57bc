"""`ipmasq` as a new user uses it: a gateway in the lab, looked at, changed and stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

pytestmark = pytest.mark.live

PREFIX = f"cmd{os.getpid() % 100000}"
Ipmasq: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


def ipmasq(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ipmasq", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def on(host: str, *command: str) -> subprocess.CompletedProcess[str]:
    return ipmasq("lab", "exec", "--prefix", PREFIX, host, "--", *command)


def on_gateway(*arguments: str) -> subprocess.CompletedProcess[str]:
    return on("gw1", sys.executable, "-m", "ipmasq", *arguments)


@pytest.fixture(scope="module", autouse=True)
def lab() -> Iterator[None]:
    try:
        up = ipmasq("lab", "up", "--prefix", PREFIX, "--run")
        assert up.returncode == 0, up.stderr
        yield
    finally:
        ipmasq("lab", "down", "--prefix", PREFIX)


def test_a_flow_is_seen_explained_and_closed():
    assert on("in1", "ping", "-c1", "-W5", "198.51.100.1").returncode == 0
    (flow,) = json.loads(on_gateway("show", "flows", "--protocol", "icmp", "--json").stdout)
    assert flow["inside"]["address"] == "10.0.0.2"
    assert flow["public"]["address"] == "203.0.113.1"
    assert f"flow {flow['id']}: 10.0.0.2:" in on_gateway("explain", str(flow["id"])).stdout
    assert on_gateway("close", str(flow["id"])).returncode == 0
    assert json.loads(on_gateway("show", "flows", "--json").stdout) == []
    watched = on_gateway("explain", "tcp", "10.0.0.2:40000", "198.51.100.1:21").stdout
    assert "helper ftp inspects it: by the destination port, 21" in watched


def test_a_second_gateway_is_refused_and_the_first_goes_on():
    status = json.loads(on_gateway("status", "--json").stdout)
    second = on_gateway("run", "-c", status["config"])
    assert second.returncode == 1
    assert "running already" in second.stderr
    assert json.loads(on_gateway("status", "--json").stdout)["process"] == status["process"]


def test_a_changed_file_is_applied_and_a_bad_one_is_not():
    path = json.loads(on_gateway("status", "--json").stdout)["config"]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "a", encoding="utf-8") as file:
        file.write('[timeouts]\nudp = "77s"\n')
    assert on_gateway("reload").returncode == 0
    assert json.loads(on_gateway("timeouts", "show", "--json").stdout)["udp"] == 77
    with open(path, "a", encoding="utf-8") as file:
        file.write('icmp = "soon"\n')
    bad = on_gateway("reload")
    assert bad.returncode == 3
    assert "timeouts.icmp" in bad.stderr
    assert json.loads(on_gateway("timeouts", "show", "--json").stdout)["udp"] == 77
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


DROPPING = """
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy accept;
    ip daddr 10.0.0.2 tcp dport 8021 drop
  }
}
"""


def test_a_rule_that_drops_a_published_server_is_named_everywhere_until_it_is_mended_as_is_said():
    assert on("gw1", "nft", DROPPING).returncode == 0
    named = "drops it: ip daddr 10.0.0.2 tcp dport 8021 drop"
    try:
        added = on_gateway("forward", "add", "tcp", "8021", "10.0.0.2", "--name", "odd")
        asked = on_gateway("explain", "tcp", "198.51.100.1:40000", "203.0.113.1:8021").stdout
        commands = re.findall("^  add: (.*)$", asked, re.MULTILINE)
        for text in (added.stderr.replace("ipmasq:", ""), asked):
            assert named in " ".join(text.split())
        assert commands
        for command in commands:
            assert on("gw1", "sh", "-c", command).returncode == 0
        asked = on_gateway("explain", "tcp", "198.51.100.1:40000", "203.0.113.1:8021").stdout
        assert "firewall" not in asked
    finally:
        on_gateway("forward", "del", "odd")
        on("gw1", "nft", "flush ruleset")


CLOSED = (
    "table inet filter { chain forward { type filter hook forward priority 0; policy drop; }; }"
)


def test_what_the_firewall_forbids_is_in_the_answer_of_a_reload():
    assert on("gw1", "nft", CLOSED).returncode == 0
    try:
        said = on_gateway("reload")
        assert said.returncode == 0
        deadline = time.monotonic() + 10
        while "drops the gateway's packets" not in said.stderr and time.monotonic() < deadline:
            said = on_gateway("reload")
        assert "ipmasq: warning: the host's firewall drops the gateway's packets" in said.stderr
        assert "ipmasq:   add: nft add rule inet filter forward" in said.stderr
    finally:
        on("gw1", "nft", "flush ruleset")


def test_after_a_stop_nothing_of_it_is_left():
    process = json.loads(on_gateway("status", "--json").stdout)["process"]
    inside_lab = ("lab", "exec", "--prefix", PREFIX, "gw1", "--", sys.executable, "-m", "ipmasq")
    watch = subprocess.Popen([sys.executable, "-m", "ipmasq", *inside_lab, "watch"])
    os.kill(process, signal.SIGTERM)
    assert watch.wait(30) in (0, 4)  # it may have come too late
    assert on_gateway("status").returncode == 4
    rules = on("gw1", "ip", "-4", "rule").stdout.splitlines()
    assert len(rules) == 3  # the kernel's own
