"""A lab is drawn before it is built; the drawing is right without root."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_interface

import pytest

from ipmasq.lab.plan import LONGEST_INTERFACE, Layout, Plan, draw, port_name

LARGE = Layout(gateways=2, inside=120, outside=120)


def test_both_private_networks_may_be_the_same() -> None:
    plan = draw(Layout(gateways=2))
    assert plan.host("in1").ip == plan.host("far1").ip == "10.0.0.2"
    assert plan.host("in1").interfaces[0].segment != plan.host("far1").interfaces[0].segment


def test_the_addresses_are_those_of_the_conformance_rows() -> None:
    plan = draw(Layout())
    assert {name: plan.host(name).ip for name in ("in1", "in2", "gw1", "out1", "out2")} == {
        "in1": "10.0.0.2",
        "in2": "10.0.0.3",
        "gw1": "203.0.113.1",
        "out1": "198.51.100.1",
        "out2": "198.51.100.2",
    }


@pytest.mark.parametrize("layout", [Layout(), Layout(inside=0, outside=0), LARGE])
def test_no_address_and_no_name_is_used_twice_on_one_segment(layout: Layout) -> None:
    plan = draw(layout)
    for segment in plan.segments:
        here = [i for host in plan.hosts for i in host.interfaces if i.segment == segment]
        assert len({interface.ip for interface in here}) == len(here)
        assert len({ip_interface(interface.address).network for interface in here}) == 1
    names = [host.name for host in plan.hosts]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("layout", [Layout(gateways=2), LARGE])
def test_every_port_of_the_switch_has_a_name_of_its_own_that_the_kernel_takes(
    layout: Layout,
) -> None:
    plan = draw(layout)
    ports = [port_name(host, i) for host in plan.hosts for i in host.interfaces]
    assert len(set(ports)) == len(ports)
    assert max(map(len, ports)) <= LONGEST_INTERFACE


def test_every_default_route_is_a_neighbour_that_routes() -> None:
    plan = draw(Layout(gateways=2))
    for host in plan.hosts:
        if host.default_via:
            neighbour = _neighbour(plan, host.interfaces[-1].segment, host.default_via)
            assert neighbour in ("gateway", "net")


def test_only_the_internet_forwards_by_itself_and_it_knows_no_private_network() -> None:
    plan = draw(Layout(gateways=2))
    assert [host.name for host in plan.hosts if host.routes] == ["net"]
    assert plan.host("net").default_via is None
    networks = {ip_interface(i.address).network for i in plan.host("net").interfaces}
    assert not any(network.subnet_of(IPv4Network("10.0.0.0/8")) for network in networks)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gateways": 3},
        {"prefix": "a/b"},
        {"prefix": "-a"},
        {"prefix": ""},
        {"prefix": "x" * 33},
        {"prefix": "ä"},
        {"mtu": 100},
        {"mtu": 65536},
        {"transit_mtu": 65536},
        {"network": IPv4Network("203.0.113.0/25")},
        {"second_network": IPv4Network("198.51.0.0/16")},
        {"inside": 254},
        {"inside": -1},
        {"outside": 300},
        {"network": IPv4Network("10.0.0.0/31")},
    ],
)
def test_a_layout_that_cannot_be_built_is_refused_with_a_sentence(
    wrong: dict[str, object],
) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Layout(**wrong)  # type: ignore[arg-type]


def _neighbour(plan: Plan, segment: str, address: str) -> str:
    found = [
        host.role
        for host in plan.hosts
        for interface in host.interfaces
        if interface.segment == segment and interface.ip == address
    ]
    assert len(found) == 1
    return found[0]
