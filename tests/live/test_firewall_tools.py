"""The gateway beside firewalls that are kept by a tool: as the tool loads them, mended as the gateway says."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TypeAlias

import pytest

from ipmasq.gateway.firewall.findings import findings
from ipmasq.gateway.firewall.masquerading import translates
from ipmasq.gateway.firewall.reading import read_tables
from ipmasq.gateway.firewall.ways import Where
from tests.live.conftest import Network, Running
from tests.live.firewall_tools import Tool, firewalld, ufw
from tests.live.firewalls import (
    DOCKER_28,
    PUBLISHED,
    Start,
    add,
    begin,
    each_plane,
    everything_works,
    load,
    published_servers_are_reached,
    published_servers_are_reached_from_inside,
)
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

Opened: TypeAlias = Callable[[Network], AbstractContextManager[Tool]]

tools = pytest.mark.parametrize("tool", [firewalld, ufw], ids=["firewalld", "ufw"])
RELOADS = {firewalld: "firewall-cmd --complete-reload", ufw: "ufw reload"}


def all_works(network: Network) -> None:
    everything_works(network)
    published_servers_are_reached(network)
    published_servers_are_reached_from_inside(network)


def remedies(network: Network, plane: str, running: Running) -> list[str]:
    """What the gateway has to say about the rules that are there now."""
    fast = plane != "tun"
    where = Where("go", ("gi",), ("10.0.0.0/24",), once=fast, able=fast, forwards=True)
    with network.at("gw"):
        tables = read_tables()
    if any(translates(table, where) for table in tables):
        where = replace(where, once=False)
    found = findings(tables, where)
    assert eventually(lambda: running.ask()["firewall"] == [str(each) for each in found])
    return [each.remedy for each in found]


@tools
@each_plane
def test_what_a_tool_drops_is_said_and_passes_with_the_commands_that_are_said(
    network: Network, gateway: Start, plane: str, tool: Opened
) -> None:
    with tool(network) as there:
        first = begin(network, gateway, plane, forwards=PUBLISHED)
        said = remedies(network, plane, first)
        first.stop()
        assert said
        for remedy in said:
            there.add(remedy)
        running = begin(network, gateway, plane, forwards=PUBLISHED)
        all_works(network)
        assert running.said() == ""
        there.type(
            RELOADS[tool]
        )  # its rules are made anew, beneath a running gateway, which may see some of them
        all_works(network)
        assert eventually(lambda: not running.ask()["firewall"])
        assert "ERROR" not in running.stop()


@tools
@each_plane
def test_a_tool_that_is_started_after_the_gateway_is_told_of(
    network: Network, gateway: Start, plane: str, tool: Opened
) -> None:
    running = begin(network, gateway, plane, forwards=PUBLISHED, log=logging.INFO)
    all_works(network)
    with tool(network) as there:
        said = remedies(network, plane, running)
        assert said
        for remedy in said:
            there.add(remedy)
        assert eventually(lambda: not running.ask()["firewall"])
        all_works(network)
    assert "the host's firewall no longer obstructs the gateway" in running.stop()


@each_plane
def test_dockers_rules_that_are_loaded_later_are_told_of_and_mended(
    network: Network, gateway: Start, plane: str
) -> None:
    running = begin(network, gateway, plane, forwards=PUBLISHED)
    load(network, DOCKER_28, "iptables-nft")
    for remedy in remedies(network, plane, running):
        add(network, remedy)
    assert eventually(lambda: not running.ask()["firewall"])
    all_works(network)
