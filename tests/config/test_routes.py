"""Which way the kernel says that packets go."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ipmasq.config.routes import Route, Way, route_to, unknown
from ipmasq.wire.addresses import to_address

SETUP = """
ip link add one type veth peer name two
ip link set lo up
ip link set one up
ip link set two up
ip address add 10.77.0.1/24 dev one
ip route add default via 10.77.0.2
ip route add blackhole 192.0.2.0/28
ip route add unreachable 192.0.2.16/28
ip route add prohibit 192.0.2.32/28
ip route add local 192.0.2.48/28 dev lo
ip route add throw 192.0.2.64/28
"""
SHOW = """
from ipmasq.config.routes import route_to
from ipmasq.wire.addresses import to_address
for text in ("198.41.0.4", "10.77.0.9", "10.77.0.1", "192.0.2.1", "192.0.2.17", "192.0.2.33", "192.0.2.49"):
    print(text, *map(str, route_to(to_address(text))))
"""


def test_of_an_unknown_machine_there_is_no_answer():
    assert unknown(to_address("192.0.2.1")) is None


def test_the_hosts_own_address_ends_here():
    assert route_to(to_address("127.0.0.1")) == Route(Way.HERE)


@pytest.mark.live
def test_routes_are_those_of_the_kernel():
    """In namespaces that end with their only processes."""
    assert told(SETUP) == [
        "198.41.0.4 Way.OUT one",
        "10.77.0.9 Way.OUT one",
        "10.77.0.1 Way.HERE",
        "192.0.2.1 Way.HERE",
        "192.0.2.17 Way.HERE",
        "192.0.2.33 Way.HERE",
        "192.0.2.49 Way.HERE",
    ]
    assert told("ip link set lo up")[0].split() == ["198.41.0.4", "Way.NONE"]


def told(setup: str) -> list[str]:
    script = f"{setup}\nexec \"{sys.executable}\" -c '{SHOW}'"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", script], capture_output=True, text=True, check=False
    )
    return [line.strip() for line in done.stdout.splitlines()]
