from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ipmasq.config import read_host_state
from ipmasq.wire.addresses import to_address, to_network
from tests.config.marked import HERE, host, serving


def test_the_network_of_an_address_has_no_host_bits():
    assert host("10.1.2.3/16").network == to_network("10.1.0.0/16")
    assert host("10.1.2.3/32").network == to_network("10.1.2.3/32")


def test_own_addresses_are_those_of_all_interfaces():
    texts = ("127.0.0.1", "203.0.113.1", "203.0.113.2", "10.0.0.1")
    assert HERE.own == frozenset(map(to_address, texts))


serves_ssh = serving((6, 22))


def test_this_machine_is_read_as_its_kernel_tells():
    before = None
    while before != (names := {name for _, name in socket.if_nameindex()}):
        # Others may add and remove interfaces here meanwhile.
        before, here = names, read_host_state(serves_ssh)
    assert host("127.0.0.1/8") in here.interfaces["lo"]
    assert set(here.interfaces) == names
    assert here.ephemeral is not None
    low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert here.ephemeral == (int(low), int(high))
    assert here.served is serves_ssh


SETUP = """
ip link add cfgveth type veth peer name cfgbare
ip address add 10.77.0.1/24 dev cfgveth
ip address add 10.77.0.2/24 dev cfgveth
ip address add 192.0.2.1 peer 192.0.2.2/32 dev cfgveth
ip address add 2001:db8::1/64 dev cfgveth
"""
SHOW = """
from ipmasq.config import read_host_state
from ipmasq.wire.addresses import to_text
for name, found in sorted(read_host_state().interfaces.items()):
    print(name, *(f"{to_text(a.address)}/{a.length}" for a in found))
"""


@pytest.mark.live
def test_interfaces_have_their_ipv4_addresses_the_primary_one_first():
    """In a namespace of its own, which ends with its only process."""
    script = f"{SETUP}\nexec \"{sys.executable}\" -c '{SHOW}'"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "cfgbare",
        "cfgveth 10.77.0.1/24 192.0.2.1/32 10.77.0.2/24",
        "lo",
    ], done.stderr


def test_netlink_is_only_loaded_to_look_at_the_machine():
    code = "import sys, ipmasq.config; print('pyroute2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
