"""What is found in rule sets as their tools write them, and what mends it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ipmasq.core.policy import Forward, PortRange
from ipmasq.core.views import Passage
from ipmasq.gateway.firewall import iptables, nft
from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.findings import findings
from ipmasq.gateway.firewall.masquerading import translates
from ipmasq.gateway.firewall.ways import Where, passed
from ipmasq.wire.addresses import to_address
from tests.gateway.firewall.rule_sets import (
    ACCEPT,
    BACK,
    CLIENT,
    ESTABLISHED,
    IIF,
    IN,
    OIF,
    ONCE,
    OUT,
    REMOTE,
    SERVER,
    TWICE,
    USUAL,
    match,
    of_flow,
    tables,
)

RULESETS = Path(__file__).with_name("rulesets")


def iptables_of(name: str) -> list[Table]:
    return iptables.tables((RULESETS / f"{name}.rules").read_text())


def firewalld() -> list[Table]:
    return nft.tables(json.loads((RULESETS / "firewalld.json").read_text()))


def said(found: list[Table], where: Where) -> str:
    return "\n".join(map(str, findings(found, where)))


def test_where_packets_pass_once_the_usual_routers_rules_are_enough() -> None:
    assert said(tables(*USUAL), replace(ONCE, forwards=False)) == ""


def test_where_packets_pass_twice_it_is_said_what_the_usual_routers_rules_lack() -> None:
    text = said(tables(*USUAL), TWICE)
    assert "nft inet filter, chain forward, does not accept gi -> ipmasq-in (new)" in text
    assert 'nft insert rule inet filter forward iifname "ipmasq-*" accept' in text
    assert 'nft insert rule inet filter forward oifname "ipmasq-*" accept' in text


def test_with_the_rule_that_was_said_nothing_is_found_any_more() -> None:
    added = [[match(IIF, "ipmasq-*"), ACCEPT], [match(OIF, "ipmasq-*"), ACCEPT]]
    assert said(tables(*added, *USUAL), TWICE) == ""


def test_for_published_servers_what_the_gateway_has_marked_is_to_be_accepted() -> None:
    text = said(tables(*USUAL), ONCE)
    assert "does not accept go -> gi (new)" in text
    rule = 'iifname "go" oifname "gi" meta mark and 0x10000000 == 0x10000000 accept'
    assert f"nft insert rule inet filter forward {rule}" in text


def test_what_inside_hosts_send_to_published_servers_by_the_public_address_passes_twice() -> None:
    published = [match(IIF, "go"), match(OIF, "gi"), ACCEPT]
    text = said(tables(published, *USUAL), ONCE)
    hairpin = "(new, from inside hosts to a public address)"
    assert f"does not accept gi -> ipmasq-in {hairpin}, ipmasq-in -> gi {hairpin}; add: " in text
    assert 'nft insert rule inet filter forward iifname "gi" oifname "ipmasq-in" accept' in text
    assert 'nft insert rule inet filter forward iifname "ipmasq-in" oifname "gi" accept' in text
    added = [
        [match(IIF, "gi"), match(OIF, "ipmasq-in"), ACCEPT],
        [match(IIF, "ipmasq-in"), match(OIF, "gi"), ACCEPT],
    ]
    assert said(tables(*added, published, *USUAL), ONCE) == ""


def test_firewalld_is_given_a_zone_for_the_gateways_devices_and_a_policy_for_them() -> None:
    text = said(firewalld(), ONCE)
    assert "firewall-cmd --permanent --new-zone=ipmasq-tun && " in text
    assert "--zone=ipmasq-tun --change-interface=ipmasq-in && " in text
    zone = "$(firewall-cmd --get-zone-of-interface=gi || firewall-cmd --get-default-zone)"
    for kind in ("ingress", "egress"):
        zones = f"--add-{kind}-zone={zone} --add-{kind}-zone=ipmasq-tun"
        assert f"--policy=ipmasq-hairpin {zones} && " in text
    assert text.count("firewall-cmd --permanent --new-policy=") == 3


def test_what_is_not_certain_is_not_told() -> None:
    some = [match({"payload": {"protocol": "tcp", "field": "dport"}}, 443), ACCEPT]
    assert said(tables(ESTABLISHED, some), replace(ONCE, forwards=False)) == ""


def test_rules_that_forbid_what_never_passes_that_way_are_told_where_packets_pass_twice() -> None:
    source = match({"payload": {"protocol": "ip", "field": "saddr"}}, "10.0.0.66")
    forbids = [match(IIF, "gi"), match(OIF, "go"), source, {"drop": None}]
    text = said(
        tables(forbids, policy="accept", texts={("inet filter", 7): "ip saddr 10.0.0.66 drop"}),
        TWICE,
    )
    assert "1 rule of nft inet filter forbids something from gi -> go" in text
    assert "chain forward, handle 7: ip saddr 10.0.0.66 drop; write ipmasq-in in the place" in text
    assert said(tables(forbids, policy="accept"), ONCE) == ""


def test_while_the_kernel_translates_as_well_it_is_said_what_is_needed_when_it_no_longer_does() -> (
    None
):
    translated = replace(ONCE, once=False)
    assert said(firewalld(), translated) == said(firewalld(), ONCE)
    assert "--policy=ipmasq-out " in said(firewalld(), translated)


@pytest.mark.parametrize("where", [ONCE, TWICE])
def test_without_rules_about_forwarding_nothing_is_found(where: Where) -> None:
    assert said(tables(policy="accept"), where) == ""
    assert said(nft.tables({"nftables": []}), where) == ""
    assert said(iptables.tables("*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"), where) == ""


def test_verdict_maps_sets_and_pairs_of_interfaces_are_understood() -> None:
    states = [["established", ACCEPT], ["related", ACCEPT], ["invalid", {"drop": None}]]
    by_state = [{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": states}}}]
    pair = {"set": [{"concat": ["gi", "go"]}]}
    by_pair = [match({"concat": [IIF, OIF]}, pair), ACCEPT]
    assert said(tables(by_state, by_pair), replace(ONCE, forwards=False)) == ""


@pytest.mark.parametrize(
    ("where", "rules"),
    [
        (replace(ONCE, forwards=False), "ufw route allow in on gi out on go"),
        (TWICE, "ufw route allow in on ipmasq-+ && ufw route allow out on ipmasq-+"),
    ],
)
def test_ufw_forwards_nothing_unless_it_is_told_to(where: Where, rules: str) -> None:
    (found,) = findings(iptables_of("ufw"), where)
    assert found.remedy == f"add: {rules}"


@pytest.mark.parametrize(
    ("where", "rules"),
    [
        (replace(ONCE, forwards=False), "iptables -I DOCKER-USER -i gi -o go -j ACCEPT"),
        (TWICE, "iptables -I DOCKER-USER -i ipmasq-+ -j ACCEPT"),
    ],
)
@pytest.mark.parametrize("name", ["docker", "docker28"])
def test_dockers_policy_drops_what_is_forwarded_for_others(
    where: Where, rules: str, name: str
) -> None:
    (found,) = findings(iptables_of(name), where)
    assert rules in found.remedy


def test_what_docker_masquerades_for_its_containers_is_not_in_the_way() -> None:
    assert not any(translates(table, ONCE) for table in iptables_of("docker"))


def test_firewallds_external_zone_masquerades_and_forwards_nothing_between_zones() -> None:
    text = said(firewalld(), replace(ONCE, forwards=False))
    assert "nft inet firewalld masquerades what leaves by go" in text
    zone = "$(firewall-cmd --get-zone-of-interface=go || firewall-cmd --get-default-zone)"
    assert f"--zone={zone} --remove-masquerade && firewall-cmd --reload" in text
    assert "firewall-cmd --permanent --new-policy=ipmasq-out" in text


def dropped(found: list[Table], where: Where, passage: Passage) -> str:
    return "\n".join(map(str, of_flow(found, where, passage)))


@pytest.mark.parametrize("where", [ONCE, TWICE])
def test_of_one_flow_it_is_certain_what_is_not_of_all_of_them(where: Where) -> None:
    web = [match({"payload": {"protocol": "tcp", "field": "dport"}}, {"set": [80, 443]}), ACCEPT]
    assert said(tables(ESTABLISHED, web), replace(where, forwards=False)) == ""
    text = dropped(tables(ESTABLISHED, web), where, OUT)
    assert f"does not accept gi -> {'go' if where.once else 'ipmasq-in'} (new)" in text
    to_web = OUT._replace(server=REMOTE._replace(port=443))
    assert dropped(tables(ESTABLISHED, web), where, to_web) == ""
    assert dropped(tables(ESTABLISHED, web), where, to_web._replace(protocol=17)) != ""


def test_of_one_flow_only_its_own_way_is_asked_for() -> None:
    assert dropped(tables(*USUAL), ONCE, OUT) == ""
    assert "does not accept go -> gi (new)" in dropped(tables(*USUAL), ONCE, IN)
    text = dropped(tables(*USUAL), ONCE, BACK)
    assert "gi -> ipmasq-in (new, from inside hosts to a public address)" in text
    assert "go -> gi" not in text


def test_a_rule_about_the_servers_own_address_and_port_is_enough_for_its_connections() -> None:
    table = {"payload": {"protocol": "ip", "field": "daddr"}}
    port = {"payload": {"protocol": "tcp", "field": "dport"}}
    rule = [match(table, "10.0.0.3"), match(port, {"range": [8000, 8100]}), ACCEPT]
    assert dropped(tables(rule, *USUAL), ONCE, IN) == ""
    other = IN._replace(server=SERVER._replace(port=22))
    assert "does not accept go -> gi (new)" in dropped(tables(rule, *USUAL), ONCE, other)


def test_a_data_connection_that_was_expected_is_related() -> None:
    assert dropped(tables(*USUAL), ONCE, IN._replace(expected=True)) == ""


def test_rules_of_iptables_about_ports_and_destinations_are_understood() -> None:
    rules = [
        "-A FORWARD -d 10.0.0.3/32 -i go -p tcp -m tcp --dport 8000:8100 -j ACCEPT",
        "-A FORWARD -i gi -p tcp -m multiport --dports 80,443 -j ACCEPT",
    ]
    text = "\n".join(["*filter", ":FORWARD DROP [0:0]", *rules, "COMMIT"])
    found = iptables.tables(text)
    assert dropped(found, ONCE, IN) == ""
    assert dropped(found, ONCE, IN._replace(protocol=17)) != ""
    assert dropped(found, ONCE, IN._replace(server=SERVER._replace(port=22))) != ""
    assert "gi -> go (new)" in dropped(found, ONCE, OUT)
    web = REMOTE._replace(port=80)
    assert "gi -> go (new)" not in dropped(found, ONCE, OUT._replace(server=web))


def test_with_several_inside_interfaces_the_one_that_leads_to_the_host_is_asked_for() -> None:
    where = replace(ONCE, inside=("gi", "guest"))
    leads = {CLIENT.address: "guest", SERVER.address: "gi"}
    ways = passed(BACK, where, leads.get)
    there = [("guest", "ipmasq-in"), ("ipmasq-in", "gi")]
    assert [way[:2] for way in ways] == [*there, ("gi", "ipmasq-in"), ("ipmasq-in", "guest")]


def test_a_table_that_iptables_made_is_not_read_from_nft() -> None:
    opaque = [{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT]
    assert tables(opaque) == []


DROP = "-A FORWARD -d 10.0.0.3/32 -p tcp -m tcp --dport 8080 -j DROP"
WEB_ONLY = "-d 10.0.0.3 -p tcp --dport 8080 -m mark --mark 0x10000000/0x10000000 -j ACCEPT"
FORWARD = Forward("web", 6, None, PortRange(80, 80), SERVER.address, 8080)


def with_rule(name: str, rule: str, before: str) -> list[Table]:
    """A rule set of a tool with one more rule."""
    text = (RULESETS / f"{name}.rules").read_text()
    assert before in text
    return iptables.tables(text.replace(before, f"{rule}\n{before}", 1))


def test_the_rule_that_drops_a_flow_is_named_as_its_tool_names_it() -> None:
    accepting = ["*filter", ":FORWARD ACCEPT [0:0]", "-A FORWARD -o lo", DROP, "COMMIT"]
    text = dropped(iptables.tables("\n".join(accepting)), ONCE, IN)
    assert (
        f"; chain FORWARD, rule 2 drops it: {DROP}; add: iptables -I FORWARD 2 -i go -o gi {WEB_ONLY}"
        in text
    )
    assert text.endswith(f"; or delete: iptables {DROP.replace('-A', '-D')}")


def test_the_rules_of_nft_are_named_by_their_handles_and_shown_as_nft_shows_them() -> None:
    listing = """table inet filter { # handle 1
\tchain forward { # handle 2
\t\ttype filter hook forward priority filter; policy accept;
\t\tip daddr 10.0.0.3 drop comment "no # handle 9" # handle 3
\t}
}
"""
    rule = [match({"payload": {"protocol": "ip", "field": "daddr"}}, "10.0.0.3"), {"drop": None}]
    found = nft.texts(listing)
    assert found == {("inet filter", 3): 'ip daddr 10.0.0.3 drop comment "no # handle 9"'}
    hook = {"type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}
    table = {"family": "inet", "table": "filter"}
    objects: list[dict[str, object]] = [
        {"chain": {**table, "name": "forward", **hook}},
        {"rule": {**table, "chain": "forward", "handle": 3, "expr": rule}},
    ]
    text = dropped(nft.tables({"nftables": objects}, found), ONCE, IN)
    assert 'chain forward, handle 3 drops it: ip daddr 10.0.0.3 drop comment "no' in text


@pytest.mark.parametrize(
    ("name", "chain", "number", "before"),
    [
        ("ufw", "ufw-before-forward", 6, "-A ufw-before-forward -j ufw-user"),
        ("ufw", "ufw-user-forward", 1, "COMMIT"),
        ("docker", "FORWARD", 1, "-A FORWARD -j DOCKER-USER"),
    ],
)
def test_what_is_to_be_added_precedes_a_rule_that_drops_where_a_tools_own_place_would_not(
    name: str, chain: str, number: int, before: str
) -> None:
    rule = DROP.replace("FORWARD", chain)
    text = dropped(with_rule(name, rule, before), ONCE, IN)
    assert f"drops it: {rule}; add: iptables -I {chain} {number} -i go -o gi {WEB_ONLY}" in text


def test_a_rule_at_the_end_that_drops_everything_is_named_and_a_tools_own_place_is_before_it() -> (
    None
):
    rule = "-A ufw-reject-forward -j REJECT --reject-with icmp-port-unreachable"
    text = dropped(with_rule("ufw", rule, "COMMIT"), ONCE, IN)
    assert f"drops it: {rule}; add: ufw route allow in on go out on gi proto tcp to" in text


def test_a_rule_about_one_published_server_is_found_without_being_asked_about_a_flow() -> None:
    accepting = ["*filter", ":FORWARD ACCEPT [0:0]", DROP, "COMMIT"]
    found = iptables.tables("\n".join(accepting))
    assert findings(found, ONCE) == ()
    (one,) = findings(found, ONCE, [FORWARD])
    assert one.what.startswith("forward web: the host's firewall drops the gateway's packets: ")
    assert f"chain FORWARD, rule 1 drops it: {DROP}" in one.what
    elsewhere = replace(FORWARD, inside_port=8081)
    assert findings(found, ONCE, [elsewhere]) == ()


def test_what_is_said_of_all_published_servers_is_not_said_again_of_each() -> None:
    found = tables(*USUAL)
    assert findings(found, ONCE, [FORWARD]) == findings(found, ONCE)


INPUT = """*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:lan - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -i go -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -j lan
-A FORWARD ! -i go -j ACCEPT
-A lan ! -i go -j ACCEPT
COMMIT
"""


def test_input_rules_that_take_packets_from_outside_for_others_are_named_where_they_can() -> None:
    found = iptables.tables(INPUT)
    assert findings(found, TWICE) == ()
    (one,) = findings(found, replace(TWICE, renamed=True))
    assert one.what.startswith(
        "2 input rules of iptables filter may take packets from go for others"
    )
    assert "chain INPUT, rule 2: -A INPUT -i go -p tcp" in one.what
    assert "chain lan, rule 1: -A lan ! -i go -j ACCEPT" in one.what
    assert one.remedy == "write ipmasq-out beside go there"
    both = INPUT.replace("! -i go", "! -i +").replace("-i go", "-i +")
    assert findings(iptables.tables(both), replace(TWICE, renamed=True)) == ()


def test_a_table_about_the_input_hook_alone_is_read() -> None:
    chain = {"family": "inet", "table": "host", "name": "in", "type": "filter", "hook": "input"}
    rule = [match(IIF, "go", "!="), ACCEPT]
    objects: list[dict[str, object]] = [
        {"chain": {**chain, "prio": 0, "policy": "drop"}},
        {"rule": {"family": "inet", "table": "host", "chain": "in", "handle": 4, "expr": rule}},
    ]
    found = nft.tables({"nftables": objects})
    assert "chain in, handle 4" in said(found, replace(TWICE, renamed=True))


@pytest.mark.parametrize(("more", "looked_at"), [(0, 3), (18, 1), (99, 0)])
def test_of_many_rules_and_published_servers_only_so_many_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, more: int, looked_at: int
) -> None:
    """The gateway's packets wait meanwhile."""
    monkeypatch.setattr("ipmasq.gateway.firewall.findings.MOST_RULES", 20)
    tcp = {"payload": {"protocol": "tcp", "field": "dport"}}
    drop = [match(tcp, 81), {"drop": None}]
    found = tables(drop, *[[match(IIF, "other"), ACCEPT]] * more, policy="accept")
    servers = [
        Forward(f"web{n}", 6, None, PortRange(80 + n, 80 + n), to_address("10.0.0.3"), 81)
        for n in range(3)
    ]
    assert len(findings(found, ONCE, servers)) == looked_at
