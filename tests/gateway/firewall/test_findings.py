"""What is found in rule sets as their tools write them, and what mends it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ipmasq.gateway.firewall import iptables, nft
from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.findings import Where, findings, translates

RULESETS = Path(__file__).with_name("rulesets")
TWICE = Where("go", ("gi",), ("10.0.0.0/24",), forwards=True)
ONCE = replace(TWICE, once=True, able=True)


def iptables_of(name: str) -> list[Table]:
    return iptables.tables((RULESETS / f"{name}.rules").read_text())


def firewalld() -> list[Table]:
    return nft.tables(json.loads((RULESETS / "firewalld.json").read_text()))


def match(left: dict[str, object], right: object, op: str = "==") -> dict[str, object]:
    return {"match": {"op": op, "left": left, "right": right}}


IIF, OIF = {"meta": {"key": "iifname"}}, {"meta": {"key": "oifname"}}
ACCEPT: dict[str, object] = {"accept": None}
ESTABLISHED = [match({"ct": {"key": "state"}}, ["established", "related"], "in"), ACCEPT]
USUAL = [ESTABLISHED, [match(IIF, "gi"), match(OIF, "go"), ACCEPT]]


def tables(*rules: list[dict[str, object]], policy: str = "drop") -> list[Table]:
    table = {"family": "inet", "table": "filter"}
    hook = {"type": "filter", "hook": "forward", "prio": 0, "policy": policy}
    objects: list[dict[str, object]] = [
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "inet", "name": "filter"}},
        {"chain": {**table, "name": "forward", **hook}},
        *({"rule": {**table, "chain": "forward", "expr": rule}} for rule in rules),
    ]
    return nft.tables({"nftables": objects})


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


def test_what_is_not_certain_is_not_told() -> None:
    some = [match({"payload": {"protocol": "tcp", "field": "dport"}}, 443), ACCEPT]
    assert said(tables(ESTABLISHED, some), replace(ONCE, forwards=False)) == ""


def test_rules_that_forbid_what_never_passes_that_way_are_told_where_packets_pass_twice() -> None:
    source = match({"payload": {"protocol": "ip", "field": "saddr"}}, "10.0.0.66")
    forbids = [match(IIF, "gi"), match(OIF, "go"), source, {"drop": None}]
    text = said(tables(forbids, policy="accept"), TWICE)
    assert "1 rule of nft inet filter forbid something from gi -> go" in text
    assert "write ipmasq-in in the place of go there" in text
    assert said(tables(forbids, policy="accept"), ONCE) == ""


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
def test_dockers_policy_drops_what_is_forwarded_for_others(where: Where, rules: str) -> None:
    (found,) = findings(iptables_of("docker"), where)
    assert rules in found.remedy


def test_what_docker_masquerades_for_its_containers_is_not_in_the_way() -> None:
    assert not any(translates(table, ONCE) for table in iptables_of("docker"))


def test_firewallds_external_zone_masquerades_and_forwards_nothing_between_zones() -> None:
    text = said(firewalld(), replace(ONCE, forwards=False))
    assert "nft inet firewalld masquerades what leaves by go" in text
    assert "--zone=external --remove-masquerade" in text
    assert "firewall-cmd --permanent --new-policy=ipmasq-out" in text


def test_a_table_that_iptables_made_is_not_read_from_nft() -> None:
    opaque = [{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT]
    assert tables(opaque) == []
