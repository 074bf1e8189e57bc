"""Whether inside is inside and outside is outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ipmasq.config import HostState, directions
from ipmasq.config.routes import ANYWHERE, Route, Way
from ipmasq.wire.addresses import Address, to_address
from tests.config.marked import GATEWAY, HERE, assert_found_as_marked


def routed(default: Route | None, **others: Route) -> HostState:
    """The machine with this default route, and routes to other addresses (`a192_0_2_1`)."""
    routes: Mapping[Address, Route] = {
        to_address(name[1:].replace("_", ".")): route for name, route in others.items()
    }
    return replace(HERE, route_to=lambda address: routes.get(address, default))


OUT, IN, OTHER = Route(Way.OUT, "eth0"), Route(Way.OUT, "eth1"), Route(Way.OUT, "wwan0")


@pytest.mark.parametrize("inside", ['["eth1"]', '["10.0.0.0/24"]'])
@pytest.mark.parametrize(
    ("default", "mark"),
    [
        (OUT, ""),
        (None, ""),
        (IN, "#? the default route leaves by eth1, which is inside, and not by eth0: are inside"),
        (OTHER, "#? the default route leaves by wwan0 and not by eth0: there, nobody can answer"),
        (Route(Way.NONE), "#? this host has no default route, so only the network of eth0 can"),
        (Route(Way.HERE), "#? this host has no default route, so only the network of eth0 can"),
    ],
)
def test_the_default_route_has_to_leave_by_the_outside_interface(
    tmp_path: Path, inside: str, default: Route | None, mark: str
):
    text = f'[gateway]\ninside = {inside}\noutside = "eth0"  {mark}\n'
    assert_found_as_marked(tmp_path, text, routed(default))
    text = f'[gateway]\ninside = {inside}\npublic = "203.0.113.9"  {mark}\n'
    assert_found_as_marked(tmp_path, text, routed(default))


def test_nothing_is_said_of_routes_where_the_interface_itself_is_the_mistake(tmp_path: Path):
    for outside in ("eth7  #! no interface eth7", "bare  #? bare has no IPv4 address now"):
        name, mark = outside.split("  ")
        text = f'[gateway]\ninside = ["eth1"]\noutside = "{name}"  {mark}\n'
        assert_found_as_marked(tmp_path, text, routed(IN))


def test_swapped_interfaces_are_found_by_their_routes_and_their_addresses(tmp_path: Path):
    text = """
        [gateway]
        inside = ["eth0"]  #? 203.0.113.0/24 is not a private network (RFC 1918)
        outside = "eth1"  #? the default route leaves by eth0, which is inside, and not by eth1
    """
    assert_found_as_marked(tmp_path, text, routed(OUT))


@pytest.mark.parametrize(
    ("network", "doubtful"),
    [
        ("10.0.0.0/8", False),
        ("172.16.0.0/12", False),
        ("172.32.0.0/16", True),
        ("192.168.1.0/24", False),
        ("192.168.0.0/15", True),
        ("100.64.0.0/10", False),
        ("169.254.0.0/16", False),
        ("8.8.8.0/24", True),
        ("0.0.0.0/0", True),
    ],
)
def test_an_inside_network_is_a_private_one(tmp_path: Path, network: str, doubtful: bool):
    mark = f"#? {network} is not a private network (RFC 1918)" if doubtful else ""
    text = f'[gateway]\ninside = ["{network}"]  {mark}\noutside = "eth0"\n'
    assert_found_as_marked(tmp_path, text)


@pytest.mark.parametrize("network", ["127.0.0.0/8", "224.0.0.0/4", "0.0.0.0/8"])
def test_a_network_without_hosts_is_called_so(tmp_path: Path, network: str):
    mark = f"#? no host has an address of {network} (loopback, multicast or reserved)"
    text = f'[gateway]\ninside = ["{network}"]  {mark}\noutside = "eth0"\n'
    assert_found_as_marked(tmp_path, text)


@pytest.mark.parametrize(
    ("public", "mark"),
    [
        ("203.0.113.1", ""),
        ("203.0.113.77", ""),
        ("203.0.113.64/26", ""),
        ("192.0.2.1", "#? this host does not have 192.0.2.1, and it is in no network of eth0"),
        ("203.0.113.254-203.0.114.1", "#? this host does not have 203.0.114.0"),
        ("192.0.2.9", ""),
    ],
)
def test_a_public_address_is_the_hosts_or_in_the_outside_network_or_ends_here(
    tmp_path: Path, public: str, mark: str
):
    here = routed(OUT, a192_0_2_9=Route(Way.HERE))
    assert_found_as_marked(tmp_path, f'{GATEWAY}public = "{public}"  {mark}\n', here)


def test_an_address_of_another_interface_is_the_hosts_too(tmp_path: Path):
    text = GATEWAY.replace("10.0.0.0/24", "192.168.0.0/24") + 'public = "10.0.0.1"\n'
    mark = "#? no interface of this machine has an address in it"
    text = text.replace('["192.168.0.0/24"]', f'["192.168.0.0/24"]  {mark}')
    assert_found_as_marked(tmp_path, text, routed(OUT))


def test_the_address_by_which_the_default_route_is_asked_for_is_far_away():
    assert not any(ANYWHERE in network for network in directions.PRIVATE)
