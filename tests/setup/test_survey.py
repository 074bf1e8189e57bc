"""Which interfaces can be inside, by their names and addresses."""

from __future__ import annotations

import pytest

from ipmasq.config import HostAddress, HostState
from ipmasq.config.routes import Route, Way
from ipmasq.setup.survey import Survey, Unsuitable, describe, survey
from ipmasq.wire.addresses import to_address


def at(text: str) -> tuple[HostAddress, ...]:
    address, _, length = text.partition("/")
    return (HostAddress(to_address(address), int(length)),)


DEFAULT = Route(Way.OUT, "eth0")


def host(route: Route | None = DEFAULT, **interfaces: str) -> HostState:
    found = {name: at(text) if text else () for name, text in interfaces.items()}
    return HostState({"lo": at("127.0.0.1/8"), **found}, route_to=lambda _: route)


def test_the_interface_of_the_default_route_is_outside_and_private_networks_are_inside():
    here = host(eth0="203.0.113.1/24", eth1="10.0.0.1/24", eth2="192.168.5.1/24", eth3="")
    assert survey(here) == Survey("eth0", ("eth1", "eth2"), ())


@pytest.mark.parametrize(
    "name", ["docker0", "br-0123456789ab", "virbr0", "cni0", "flannel.1", "cali1234@if2", "podman1"]
)
def test_an_interface_of_containers_is_not_inside(name: str):
    here = host(eth0="203.0.113.1/24", eth1="10.0.0.1/24", **{name: "172.17.0.1/16"})
    assert survey(here) == Survey("eth0", ("eth1",), (name,))


def test_a_bridge_of_the_operator_may_be_inside():
    here = host(eth0="203.0.113.1/24", **{"br-lan": "10.0.0.1/24"})
    assert survey(here).inside == ("br-lan",)


def test_a_network_that_is_not_private_is_not_inside():
    here = host(eth0="203.0.113.1/24", eth1="8.8.8.1/24", eth2="10.0.0.1/24")
    assert survey(here) == Survey("eth0", ("eth2",), ("eth1",))


def test_an_interface_with_a_single_address_is_not_inside():
    here = host(eth0="203.0.113.1/24", wg0="10.9.0.1/32", eth1="10.0.0.1/24")
    assert survey(here).inside == ("eth1",)


@pytest.mark.parametrize("route", [None, Route(Way.NONE), Route(Way.HERE)])
def test_without_a_default_route_the_outside_interface_must_be_named(route: Route | None):
    here = host(route, eth0="203.0.113.1/24", eth1="10.0.0.1/24")
    with pytest.raises(Unsuitable, match=r"no default route.*--outside NAME"):
        survey(here)
    assert survey(here, "eth0").inside == ("eth1",)


def test_one_interface_is_too_few_and_the_message_says_what_to_do():
    with pytest.raises(Unsuitable, match="eth0, which is the outside one; connect a second one"):
        survey(host(eth0="203.0.113.1/24"))
    with pytest.raises(Unsuitable, match=r"ip addr add 10\.0\.0\.1/24 dev NAME.*one of eth1"):
        survey(host(eth0="203.0.113.1/24", eth1=""))


def test_an_interface_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(Unsuitable, match="no interface eth9; it has eth0, eth1"):
        survey(host(eth0="203.0.113.1/24", eth1="10.0.0.1/24"), "eth9")


def test_an_interface_is_described_with_its_addresses():
    here = host(eth0="203.0.113.1/24", eth1="")
    assert describe("eth0", here) == "eth0 (203.0.113.1/24)"
    assert describe("eth1", here) == "eth1 (no address now)"
