from __future__ import annotations

from pathlib import Path

import pytest

from ipmasq.config import HostState, Sides, load, resolve
from ipmasq.wire.addresses import to_address, to_network
from tests.config.marked import HERE, host

WIDE = HostState(
    {
        "eth0": (host("203.0.113.1/24"), host("198.18.0.1/16")),
        "eth1": (host("10.0.0.1/24"), host("10.0.1.1/24")),
        "eth2": (host("10.2.0.1/16"),),
        "docker0": (host("172.17.0.1/16"),),
    }
)


def sides(tmp_path: Path, text: str, here: HostState = WIDE) -> Sides:
    file = tmp_path / "gateway.toml"
    file.write_text("[gateway]\n" + text)
    loaded = load(file)
    assert loaded.problems == ()
    return resolve(loaded.config.gateway, here)


@pytest.mark.parametrize(
    ("inside", "interfaces", "networks"),
    [
        ('"eth1"', ["eth1"], ["10.0.0.0/24", "10.0.1.0/24"]),
        ('"10.0.0.0/24"', ["eth1"], ["10.0.0.0/24"]),
        ('["10.0.0.0/8"]', ["eth1", "eth2"], ["10.0.0.0/8"]),
        ('["eth2", "10.9.0.0/24"]', ["eth2"], ["10.2.0.0/16", "10.9.0.0/24"]),
        ('["eth2", "10.0.1.0/24"]', ["eth2", "eth1"], ["10.2.0.0/16", "10.0.1.0/24"]),
        ('["eth2", "10.2.0.0/16"]', ["eth2"], ["10.2.0.0/16"]),
        ('"10.9.0.0/24"', [], ["10.9.0.0/24"]),
        ('"eth9"', ["eth9"], []),
    ],
)
def test_interfaces_and_networks_inside_stand_for_each_other(
    tmp_path: Path, inside: str, interfaces: list[str], networks: list[str]
):
    found = sides(tmp_path, f'inside = {inside}\noutside = "eth0"')
    assert found.inside == tuple(interfaces)
    assert found.networks == tuple(map(to_network, networks))


def test_the_outside_interface_is_never_inside_however_wide_the_network(tmp_path: Path):
    found = sides(tmp_path, 'inside = "0.0.0.0/0"\noutside = "eth0"')
    assert found.inside == ("eth1", "eth2", "docker0")


@pytest.mark.parametrize(
    ("outside", "interface", "public"),
    [
        ('outside = "eth0"', "eth0", ["203.0.113.1"]),
        ('public = "203.0.113.9"', "eth0", ["203.0.113.9"]),
        ('public = "198.18.5.5"', "eth0", ["198.18.5.5"]),
        ('outside = "eth0"\npublic = "192.0.2.1"', "eth0", ["192.0.2.1"]),
        ('public = "192.0.2.1"', None, ["192.0.2.1"]),
        ('outside = "eth9"', "eth9", []),
    ],
)
def test_the_public_addresses_are_the_pool_or_the_primary_one_of_the_interface(
    tmp_path: Path, outside: str, interface: str | None, public: list[str]
):
    found = sides(tmp_path, f'inside = "10.0.0.0/24"\n{outside}')
    assert (found.outside, found.public) == (interface, tuple(map(to_address, public)))


def test_a_pool_that_is_wider_than_the_network_of_the_interface_is_reached_by_it(tmp_path: Path):
    assert sides(tmp_path, 'inside = "eth1"\npublic = "203.0.0.0/16"').outside == "eth0"


@pytest.mark.row("6888-3")
def test_a_pool_is_scattered_and_every_address_of_a_prefix_is_used_once(tmp_path: Path):
    pool = '["203.0.113.1", "203.0.113.7-203.0.113.8", "192.0.2.0/30", "192.0.2.2"]'
    found = sides(tmp_path, f'inside = "eth1"\noutside = "eth0"\npublic = {pool}', HERE)
    texts = ["203.0.113.1", "203.0.113.7", "203.0.113.8"]
    texts += ["192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert found.public == tuple(map(to_address, texts))
