"""The gateway behind firewalls as an ordinary router has them: real rule sets, real traffic, on every plane."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ipmasq.core.side import Side
from ipmasq.core.views import Passage
from ipmasq.gateway.firewall import reading
from ipmasq.gateway.firewall.findings import findings
from ipmasq.gateway.firewall.watch import FirewallWatch
from ipmasq.gateway.firewall.ways import Where
from ipmasq.gateway.loop import Loop
from ipmasq.wire.addresses import Endpoint, to_address
from tests.gateway.firewall.waiting import answered
from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, Running, run
from tests.live.firewalls import (
    DOCKER,
    PUBLISHED,
    UFW,
    add,
    begin,
    each_fast_plane,
    each_plane,
    everything_works,
    load,
    published_servers_are_reached,
    published_servers_are_reached_from_inside,
    remedies,
)
from tests.live.test_tun import tcp_server, tcp_talk
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]

NFT_USUAL = """
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state established,related accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state invalid counter drop
    ct state established,related accept
    iifname "gi" oifname "go" accept
  }
}
"""
NFT_FORBIDS = """
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "gi" oifname "go" ip saddr 10.0.0.2 tcp dport 5000 drop
  }
}
"""
NFT_INVALID = """
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy accept;
    ct state invalid counter drop
  }
}
"""
NFT_MASQUERADES = """
table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "go" masquerade
  }
}
"""
NFT_ONE_SERVER = f"""
table inet filter {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    jump guard
    accept
  }}
  chain guard {{
    ip daddr {INSIDE_HOST} tcp dport 8080 drop
  }}
}}
"""
IPTABLES_ONE_SERVER = f"""*filter
:FORWARD ACCEPT [0:0]
:guard - [0:0]
-A FORWARD -j guard
-A guard -d {INSIDE_HOST}/32 -p tcp -m tcp --dport 8080 -j DROP
COMMIT
"""
NAMED = {
    "nft": f"chain guard, handle 5 drops it: ip daddr {INSIDE_HOST} tcp dport 8080 drop",
    "iptables": "chain guard, rule 1 drops it: -A guard -d 10.0.0.2/32 -p tcp -m tcp --dport 8080 -j DROP",
}
WEB = Passage(
    6,
    (Side.OUTSIDE, Side.INSIDE),
    Endpoint(to_address(REMOTE), 40000),
    Endpoint(to_address(PUBLIC), 80),
    Endpoint(to_address(INSIDE_HOST), 8080),
    False,
)
IPTABLES_USUAL = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i gi -o go -j ACCEPT
COMMIT
"""
FORGOTTEN = 3.0
"""Seconds after which conntrack has forgotten a connection whose handshake it saw no end of, here."""


usual = pytest.mark.parametrize(
    ("tool", "rules"),
    [("nft", NFT_USUAL), ("iptables-nft", IPTABLES_USUAL), ("iptables-legacy", IPTABLES_USUAL)],
    ids=["nft", "iptables-nft", "iptables-legacy"],
)


@usual
@each_fast_plane
def test_the_usual_routers_rules_are_enough(
    network: Network, gateway: Start, plane: str, tool: str, rules: str
) -> None:
    load(network, rules, tool)
    running = begin(network, gateway, plane)
    everything_works(network)
    assert running.stop() == ""


@usual
def test_on_the_tun_plane_they_are_enough_with_the_rules_that_are_said_at_the_start(
    network: Network, gateway: Start, tool: str, rules: str
) -> None:
    load(network, rules, tool)
    first = begin(network, gateway, "tun")
    (remedy,) = remedies(first.stop())
    add(network, remedy)
    running = begin(network, gateway, "tun")
    everything_works(network)
    assert running.stop() == ""


@each_plane
def test_dockers_policy_is_mended_by_the_rules_that_are_said(
    network: Network, gateway: Start, plane: str
) -> None:
    load(network, DOCKER, "iptables-nft")
    first = begin(network, gateway, plane)
    (remedy,) = remedies(first.stop())
    assert "DOCKER-USER" in remedy
    add(network, remedy)
    running = begin(network, gateway, plane)
    everything_works(network)
    assert running.stop() == ""


@each_plane
def test_what_ufw_drops_is_said(network: Network, gateway: Start, plane: str) -> None:
    load(network, UFW, "iptables-nft")
    (remedy,) = remedies(begin(network, gateway, plane).stop())
    assert remedy.startswith("add: ufw route allow in on ")


@each_plane
def test_a_published_server_is_reached_with_the_rule_that_is_said(
    network: Network, gateway: Start, plane: str
) -> None:
    load(network, NFT_USUAL)
    forwards = [["web", 6, 80, INSIDE_HOST, 8080]]
    first = begin(network, gateway, plane, forwards=forwards)
    (remedy,) = remedies(first.stop())
    add(network, remedy)
    running = begin(network, gateway, plane, forwards=forwards)
    with tcp_server(network, "in", INSIDE_HOST, 8080) as server:
        assert tcp_talk(network, "out", (PUBLIC, 80), server) == REMOTE
    assert running.stop() == ""


@usual
@each_plane
def test_published_servers_are_reached_from_inside_too_with_the_rules_that_are_said(
    network: Network, gateway: Start, plane: str, tool: str, rules: str
) -> None:
    load(network, rules, tool)
    first = begin(network, gateway, plane, forwards=PUBLISHED)
    with pytest.raises((TimeoutError, OSError)):
        published_servers_are_reached_from_inside(network)
    (remedy,) = remedies(first.stop())
    add(network, remedy)
    running = begin(network, gateway, plane, forwards=PUBLISHED)
    published_servers_are_reached_from_inside(network)
    published_servers_are_reached(network)
    everything_works(network)
    assert running.stop() == ""


@each_plane
def test_no_packet_of_ours_is_invalid_for_conntrack_however_long_a_connection_lives(
    network: Network, gateway: Start, plane: str
) -> None:
    load(network, NFT_INVALID)
    with network.at("gw"):  # as if a minute passed
        path = Path("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_syn_recv")
        path.write_text("1")
    running = begin(network, gateway, plane)
    with tcp_server(network, "out", REMOTE, 5000) as server, network.at("in"):
        with socket.create_connection((REMOTE, 5000), 5) as client:
            accepted = server.accept()[0]
            accepted.settimeout(5)
            client.settimeout(5)
            for _ in range(3):
                client.sendall(b"ask")
                assert accepted.recv(100) == b"ask"
                accepted.sendall(b"answer")
                assert client.recv(100) == b"answer"
            time.sleep(FORGOTTEN)  # by the kernel's clock; there is nothing to be asked about it
        with accepted:
            assert accepted.recv(100) == b""
    with network.at("gw"):
        assert "counter packets 0 bytes 0 drop" in run("nft", "list", "ruleset")
    assert running.stop() == ""


@each_fast_plane
def test_what_the_operator_forbids_from_inside_to_outside_stays_forbidden(
    network: Network, gateway: Start, plane: str
) -> None:
    load(network, NFT_FORBIDS)
    running = begin(network, gateway, plane)
    with (
        tcp_server(network, "out", REMOTE, 5000),
        network.at("in"),
        pytest.raises(TimeoutError),
    ):
        socket.create_connection((REMOTE, 5000), 1)
    with tcp_server(network, "out", REMOTE, 5001) as server:
        assert tcp_talk(network, "in", (REMOTE, 5001), server) == PUBLIC
    assert running.stop() == ""


def test_on_the_tun_plane_it_is_said_that_such_a_rule_never_holds(
    network: Network, gateway: Start
) -> None:
    load(network, NFT_FORBIDS)
    said = begin(network, gateway, "tun").stop()
    assert "1 rule of nft inet filter forbids something from gi -> go" in said


@each_fast_plane
def test_where_the_kernel_masquerades_as_well_both_work_and_it_is_said(
    network: Network, gateway: Start, plane: str
) -> None:
    load(network, NFT_MASQUERADES)
    running = begin(network, gateway, plane)
    everything_works(network)
    assert "nft ip nat masquerades what leaves by go" in running.stop()


@pytest.mark.parametrize(
    ("tool", "rules"),
    [
        ("nft", NFT_ONE_SERVER),
        ("iptables-nft", IPTABLES_ONE_SERVER),
        ("iptables-legacy", IPTABLES_ONE_SERVER),
    ],
    ids=["nft", "iptables-nft", "iptables-legacy"],
)
@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
def test_a_rule_that_drops_what_one_server_gets_is_named_at_once_and_passes_by_what_is_said(
    network: Network, gateway: Start, plane: str, tool: str, rules: str
) -> None:
    once = plane != "tun"
    where = Where("go", ("gi",), ("10.0.0.0/24",), once, once, forwards=True)
    loop = Loop()
    with network.at("gw"):
        watch = FirewallWatch(loop, lambda: where, lambda event: None)
        watch.begin()
    load(network, rules, tool)
    try:
        with network.at("gw"):
            (found,) = answered(
                loop, watch.obstructions(WEB)
            )  # by rules that the watch has not been told of yet
        assert NAMED[tool.partition("-")[0]] in found.what
        running = begin(network, gateway, plane, forwards=PUBLISHED)
        assert [each for each in said_of(running) if "forward web: " in each]
        with tcp_server(network, "in", INSIDE_HOST, 8080) as server:
            with pytest.raises(TimeoutError), network.at("out"):
                socket.create_connection((PUBLIC, 80), 1)
            add(network, found.remedy)
            with network.at("gw"):
                assert answered(loop, watch.obstructions(WEB)) == ()
            assert tcp_talk(network, "out", (PUBLIC, 80), server) == REMOTE
    finally:
        watch.end()
    assert "forward web: the host's firewall drops the gateway's packets" in running.stop()


def said_of(running: Running) -> list[str]:
    said = running.ask()["firewall"]
    assert isinstance(said, list)
    return said


@each_plane
def test_rules_that_are_loaded_later_are_told_of_and_again_when_they_have_gone(
    network: Network, gateway: Start, plane: str
) -> None:
    running = begin(network, gateway, plane, log=logging.INFO)
    load(network, NFT_USUAL.replace('iifname "gi" oifname "go" accept', ""))
    where = Where("go", ("gi",), ("10.0.0.0/24",), plane != "tun", plane != "tun")
    with network.at("gw"):
        assert findings(reading.read_tables(), where)
    assert eventually(lambda: bool(running.ask()["firewall"]))
    with network.at("gw"):
        run("nft", "flush", "ruleset")
    assert eventually(lambda: not running.ask()["firewall"])
    said = running.stop()
    assert said.count("the host's firewall drops the gateway's packets") == 1
    assert said.count("the host's firewall no longer obstructs the gateway") == 1
