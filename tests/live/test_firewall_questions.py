"""What is said of one flow, typed: its packets pass, and nothing else does."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from ipmasq.core.side import Side
from ipmasq.core.views import Passage
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.watch import FirewallWatch
from ipmasq.gateway.firewall.ways import Where
from ipmasq.gateway.loop import Loop
from ipmasq.wire.addresses import Endpoint, to_address
from tests.gateway.firewall.waiting import answered
from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, Running
from tests.live.firewalls import begin, each_plane, load, type_at_gateway
from tests.live.test_tun import tcp_server, tcp_talk, udp_socket
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]

ASKED = Passage(
    6,
    (Side.INSIDE, Side.OUTSIDE),
    Endpoint(to_address(INSIDE_HOST), 40000),
    Endpoint(to_address(REMOTE), 5000),
    Endpoint(to_address(REMOTE), 5000),
    False,
)
NFT_POLICY = """
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
  }
}
"""
IPTABLES_POLICY = """*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""
NFT_RULE = f"""
table inet filter {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    meta l4proto icmp accept
    jump guard
  }}
  chain guard {{
    ip saddr {INSIDE_HOST} tcp dport 5000-5001 drop
  }}
}}
"""
IPTABLES_RULE = f"""*filter
:FORWARD ACCEPT [0:0]
:guard - [0:0]
-A FORWARD -p icmp -j ACCEPT
-A FORWARD -j guard
-A guard -o lo -j RETURN
-A guard -s {INSIDE_HOST}/32 -p tcp -m tcp --dport 5000:5001 -m comment --comment "no & games" -j DROP
COMMIT
"""
NFT_TRANSLATES = f"""
table ip nat {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 172.17.0.0/16 masquerade
    ip saddr {INSIDE_HOST} oifname "go" masquerade
  }}
}}
"""
IPTABLES_TRANSLATES = f"""*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s {INSIDE_HOST}/32 -o go -m comment --comment "old & slow" -j MASQUERADE
COMMIT
"""
PINGABLE = """
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname { "gi", "ipmasq-in" } icmp type echo-request accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "gi" oifname "go" accept
  }
}
"""
TOOLS = ("nft", "iptables-nft", "iptables-legacy")


def by_tool(nft: str, iptables: str) -> pytest.MarkDecorator:
    rules = [(tool, nft if tool == "nft" else iptables) for tool in TOOLS]
    return pytest.mark.parametrize(("tool", "rules"), rules, ids=TOOLS)


@contextmanager
def asked(network: Network, plane: str) -> Iterator[Callable[[], tuple[Finding, ...]]]:
    """What is answered about ASKED."""
    once = plane != "tun"
    where = Where("go", ("gi",), ("10.0.0.0/24",), once, once)
    loop = Loop()
    with network.at("gw"):
        watch = FirewallWatch(loop, lambda: where, lambda event: None)
        watch.begin()

    def ask() -> tuple[Finding, ...]:
        with network.at("gw"):
            return answered(loop, watch.obstructions(ASKED))

    try:
        yield ask
    finally:
        watch.end()


def passes(network: Network, port: int) -> bool:
    with (
        tcp_server(network, "out", REMOTE, port),
        network.at("in"),
        closing(socket.socket()) as client,
    ):
        client.settimeout(1)
        return client.connect_ex((REMOTE, port)) == 0


def datagrams_pass(network: Network, port: int) -> bool:
    with udp_socket(network, "out", REMOTE, port) as server, udp_socket(network, "in") as client:
        server.settimeout(1)
        client.sendto(b"ask", (REMOTE, port))
        try:
            return bool(server.recv(100))
        except TimeoutError:
            return False


@by_tool(NFT_POLICY, IPTABLES_POLICY)
@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
def test_under_a_policy_that_drops_only_what_was_asked_about_passes_then(
    network: Network, gateway: Start, plane: str, tool: str, rules: str
) -> None:
    load(network, rules, tool)
    begin(network, gateway, plane)
    with asked(network, plane) as ask:
        (found,) = ask()
        assert not passes(network, 5000)
        type_at_gateway(network, found.commands)
        assert ask() == ()
    assert eventually(lambda: passes(network, 5000))
    assert not passes(network, 5001)
    assert not datagrams_pass(network, 5000)


@by_tool(NFT_RULE, IPTABLES_RULE)
@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
@pytest.mark.parametrize("how", ["add", "delete"])
def test_before_a_rule_that_drops_more_only_what_was_asked_about_passes_unless_it_is_deleted(
    network: Network, gateway: Start, plane: str, tool: str, rules: str, how: str
) -> None:
    load(network, rules, tool)
    begin(network, gateway, plane)
    with asked(network, plane) as ask:
        (found,) = ask()
        assert not passes(network, 5000)
        type_at_gateway(network, found.commands if how == "add" else found.deletes)
        assert ask() == ()
    assert eventually(lambda: passes(network, 5000))
    if how == "delete":
        assert eventually(lambda: passes(network, 5001))
    else:
        assert not passes(network, 5001)


@by_tool(NFT_TRANSLATES, IPTABLES_TRANSLATES)
def test_a_masquerading_rule_is_told_of_and_gone_with_the_command_that_is_said(
    network: Network, gateway: Start, tool: str, rules: str
) -> None:
    load(network, rules, tool)
    running = begin(network, gateway, "ebpf-tc")
    with asked(network, "ebpf-tc") as ask:
        (found,) = ask()
        assert "masquerades what leaves by go" in found.what
        assert "172.17" not in str(found)
        assert any("masquerades what leaves by go" in each for each in status(running))
        type_at_gateway(network, found.deletes)
        assert ask() == ()
    if tool != "iptables-legacy":  # whose changes are not notified
        assert eventually(lambda: status(running) == [])
    with tcp_server(network, "out", REMOTE, 5000) as server:
        assert tcp_talk(network, "in", (REMOTE, 5000), server) == PUBLIC


def status(running: Running) -> list[str]:
    said = running.ask()["firewall"]
    assert isinstance(said, list)
    return said


@each_plane
def test_pings_of_inside_hosts_to_the_public_address_pass_with_what_is_said(
    network: Network, gateway: Start, plane: str
) -> None:
    load(network, PINGABLE)
    running = begin(network, gateway, plane)
    assert not pings(network)
    (said,) = status(running)
    add_commands = said.partition("; add: ")[2]
    assert "ipmasq-in" in add_commands or "ipmasq-*" in add_commands
    type_at_gateway(network, add_commands.split(" && "))
    assert eventually(lambda: status(running) == [])
    assert pings(network)


def pings(network: Network) -> bool:
    ping = network.start("in", "ping", "-c1", "-W1", PUBLIC)
    return "1 received" in ping.communicate(timeout=10)[0]
