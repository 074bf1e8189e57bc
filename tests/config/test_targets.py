"""Whether a server can be where a forward leads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.config.marked import GATEWAY, HERE, assert_found_as_marked, host

FORWARD = '[[forward]]\nport = 80\nto = "{}"  {}\n'


@pytest.mark.parametrize(
    ("target", "mark"),
    [
        ("10.0.0.2", ""),
        ("10.0.0.1", "#? 10.0.0.1 is an address of this gateway itself, not of a server behind it"),
        ("203.0.113.1:21", "#? 203.0.113.1 is an address of this gateway itself"),
        ("203.0.113.9", "#? 203.0.113.9 is in no inside network"),
        ("10.0.0.0", "#? 10.0.0.0 is the address of the network 10.0.0.0/24, not of a server"),
        ("10.0.0.255:80", "#? 10.0.0.255 is the broadcast address of the network 10.0.0.0/24"),
        ("127.0.0.1", "#! 127.0.0.1 cannot be the address of a server"),
        ("0.0.0.0", "#! 0.0.0.0 cannot be the address of a server"),
        ("224.0.0.5", "#! 224.0.0.5 cannot be the address of a server"),
        ("255.255.255.255", "#! 255.255.255.255 cannot be the address of a server"),
    ],
)
def test_a_forward_leads_to_a_host_inside(tmp_path: Path, target: str, mark: str):
    assert_found_as_marked(tmp_path, GATEWAY + FORWARD.format(target, mark), HERE)


def test_an_address_of_the_pool_is_no_server(tmp_path: Path):
    mark = "#? 203.0.113.9 is a public address of the gateway itself"
    text = GATEWAY + 'public = ["203.0.113.8/30"]\n' + FORWARD.format("203.0.113.9", mark)
    assert_found_as_marked(tmp_path, text, HERE)


def test_the_first_and_last_address_of_a_short_network_are_hosts(tmp_path: Path):
    here = replace(
        HERE, interfaces={**HERE.interfaces, "eth1": (host("10.0.0.1/24"), host("10.9.0.2/31"))}
    )
    text = GATEWAY.replace('"10.0.0.0/24"', '"10.9.0.2/31", "10.8.0.7"')
    for target in ("10.9.0.3", "10.8.0.7"):
        assert_found_as_marked(tmp_path, text + FORWARD.format(target, ""), here)


def test_the_broadcast_address_is_that_of_the_interface_as_well_as_of_the_file(tmp_path: Path):
    text = GATEWAY.replace("10.0.0.0/24", "10.0.0.0/16")
    mark = "#? 10.0.0.255 is the broadcast address of the network 10.0.0.0/24"
    assert_found_as_marked(tmp_path, text + FORWARD.format("10.0.0.255", mark), HERE)
    assert_found_as_marked(tmp_path, text + FORWARD.format("10.0.0.255", ""))
