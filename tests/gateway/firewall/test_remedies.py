"""What is to be added or deleted is no wider than the question, or than the rule that drops."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipmasq.core.policy import Forward, PortRange
from ipmasq.core.side import Side
from ipmasq.core.views import Passage
from ipmasq.gateway.firewall import iptables
from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.findings import findings
from ipmasq.wire.addresses import to_address
from ipmasq.wire.lines import lines
from tests.gateway.firewall.rule_sets import (
    ACCEPT,
    BACK,
    CLIENT,
    DROP,
    ESTABLISHED,
    IIF,
    IN,
    OIF,
    ONCE,
    OUT,
    PUBLIC,
    SADDR,
    SERVER,
    TCP_PORT,
    TWICE,
    USUAL,
    match,
    of_flow,
    tables,
)

MARKED = "meta mark and 0x10000000 == 0x10000000"
GUEST = {("inet filter", 7): "ip saddr 10.0.0.2 tcp dport 21 drop"}


def the(found: tuple[Finding, ...]) -> Finding:
    (one,) = found
    return one


def saved(*rules: str, policy: str = "DROP") -> list[Table]:
    lines = ["*filter", f":FORWARD {policy} [0:0]", ":guard - [0:0]", *rules, "COMMIT"]
    return iptables.tables("\n".join(lines))


def test_what_is_asked_about_is_accepted_for_its_protocol_port_and_interfaces_only() -> None:
    rule = 'iifname "gi" oifname "go" tcp dport 21 accept'
    found = the(of_flow(tables(ESTABLISHED), ONCE, OUT))
    assert found.commands == (f"nft add rule inet filter forward {rule}",)
    state = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    found = the(of_flow(saved(state), ONCE, OUT))
    assert found.commands == ("iptables -A FORWARD -i gi -o go -p tcp --dport 21 -j ACCEPT",)


def test_what_is_added_under_a_policy_comes_behind_what_the_operator_forbids_others() -> None:
    forbids = [match(SADDR, "10.0.0.66"), DROP]
    found = the(of_flow(tables(forbids, ESTABLISHED), ONCE, OUT))
    assert found.commands[0].startswith("nft add rule inet filter forward ")
    last = [DROP]
    found = the(of_flow(tables(forbids, ESTABLISHED, last, policy="accept"), ONCE, OUT))
    assert found.commands[0].startswith("nft insert rule inet filter forward handle 9 ")


def test_what_is_added_for_all_traffic_leaves_forbidden_what_other_rules_forbid() -> None:
    where = replace(ONCE, forwards=False)
    forbids = [match(SADDR, "10.0.0.66"), DROP]
    rule = 'iifname "gi" oifname "go" accept'
    found = the(findings(tables(forbids, ESTABLISHED), where))
    assert found.commands == (f"nft add rule inet filter forward {rule}",)
    found = the(findings(tables(forbids, ESTABLISHED, [DROP], policy="accept"), where))
    assert found.commands == (f"nft insert rule inet filter forward handle 9 {rule}",)
    state = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    last = "-A FORWARD -j REJECT --reject-with icmp-port-unreachable"
    found = the(findings(saved("-A FORWARD -s 10.0.0.66/32 -j DROP", state, last), where))
    assert found.commands == ("iptables -I FORWARD 3 -i gi -o go -j ACCEPT",)


def test_a_ping_is_accepted_by_its_protocol() -> None:
    ping = OUT._replace(protocol=1, server=OUT.server._replace(port=0))
    found = the(of_flow(tables(ESTABLISHED), ONCE, ping))
    rule = 'iifname "gi" oifname "go" meta l4proto icmp accept'
    assert found.commands == (f"nft add rule inet filter forward {rule}",)


def test_answers_are_accepted_between_these_interfaces_if_no_rule_accepts_them() -> None:
    found = the(of_flow(tables(), ONCE, IN))
    assert found.commands == (
        f'nft add rule inet filter forward iifname "go" oifname "gi" ip daddr 10.0.0.3 '
        f"tcp dport 8080 {MARKED} accept",
        'nft add rule inet filter forward iifname "gi" oifname "go" '
        "ct state established,related accept",
    )


def test_before_a_rule_about_one_host_only_that_host_is_accepted_or_the_rule_is_deleted() -> None:
    rule = [match(SADDR, "10.0.0.2"), match(TCP_PORT, 21), DROP]
    found = the(of_flow(tables(rule, *USUAL, texts=GUEST), ONCE, OUT))
    accept = 'iifname "gi" oifname "go" ip saddr 10.0.0.2 tcp dport 21 accept'
    assert found.commands == (f"nft insert rule inet filter forward handle 7 {accept}",)
    assert found.deletes == ("nft delete rule inet filter forward handle 7",)
    assert found.is_meant
    assert found.remedy == f"add: {found.commands[0]}; or delete: {found.deletes[0]}"


def test_deleting_is_not_said_where_packets_would_be_dropped_all_the_same() -> None:
    rule = [match(SADDR, "10.0.0.2"), DROP]
    texts = {("inet filter", 7): "ip saddr 10.0.0.2 drop"}
    assert the(of_flow(tables(rule, ESTABLISHED, texts=texts), ONCE, OUT)).deletes == ()


def test_deleting_is_not_said_of_a_rule_that_decides_about_others_as_well() -> None:
    decisions = {"set": [[21, DROP], [80, ACCEPT]]}
    by_port = [{"vmap": {"key": TCP_PORT, "data": decisions}}]
    texts = {("inet filter", 7): "tcp dport vmap { 21 : drop, 80 : accept }"}
    found = the(of_flow(tables(by_port, *USUAL, texts=texts), ONCE, OUT))
    assert found.deletes == ()
    assert found.commands[0].startswith("nft insert rule inet filter forward handle 7 ")


def test_a_rule_in_another_chain_is_preceded_there_by_what_that_chain_is_about() -> None:
    found = the(
        of_flow(
            saved("-A FORWARD -s 10.0.0.0/24 -j guard", "-A guard -o lo", "-A guard -j DROP"),
            ONCE,
            OUT,
        )
    )
    rule = "-i gi -o go -s 10.0.0.2 -p tcp --dport 21 -j ACCEPT"
    assert f"iptables -I guard 2 {rule}" in found.commands
    assert found.is_meant


def test_a_rule_of_iptables_is_deleted_as_it_was_written_quoted_for_the_shell() -> None:
    comment = '-m comment --comment "no \\"$(reboot)\\""'
    rule = f"-A FORWARD -s 10.0.0.2/32 {comment} -j DROP"
    found = the(of_flow(saved(rule, policy="ACCEPT"), ONCE, OUT))
    quoted = "'no \"$(reboot)\"'"
    assert found.deletes == (
        f"iptables -D FORWARD -s 10.0.0.2/32 -m comment --comment {quoted} -j DROP",
    )


EVIL = "x; add: reboot && halt"


def test_nothing_in_a_comment_or_name_is_taken_for_a_command_to_copy() -> None:
    """Names come from whoever may add forwards."""
    rule = f'-A FORWARD -s 10.0.0.2/32 -m comment --comment "{EVIL}" -j DROP'
    found = the(of_flow(saved(rule, policy="ACCEPT"), ONCE, OUT))
    forward = Forward(EVIL, 6, None, PortRange(80, 80), SERVER.address, 80)
    drops = saved("-A FORWARD -p tcp --dport 80 -j DROP", policy="ACCEPT")
    published = the(findings(drops, ONCE, [forward], lambda _: ONCE.inside[0]))
    for each in (found, published):
        written = lines(f"{each.what}; {each.remedy}")
        commands = [f"  add: {one}" for one in each.commands]
        commands += [f"  or delete: {one}" for one in each.deletes]
        assert [line for line in written if ": " in line and line.lstrip()[:4] in KINDS] == commands
    assert found.deletes == (), "the comment is in the command, too"


KINDS = ("add:", "or d")


def test_where_packets_pass_twice_each_passage_is_as_narrow() -> None:
    found = the(of_flow(tables(ESTABLISHED), replace(TWICE, forwards=False), OUT))
    assert found.commands == (
        'nft add rule inet filter forward iifname "gi" oifname "ipmasq-in" tcp dport 21 accept',
        'nft add rule inet filter forward iifname "ipmasq-in" oifname "go" tcp dport 21 accept',
    )


def test_a_published_server_is_opened_to_inside_hosts_at_its_own_ports_only() -> None:
    found = the(of_flow(tables(*USUAL), ONCE, BACK))
    assert found.commands == (
        'nft add rule inet filter forward iifname "gi" oifname "ipmasq-in" '
        "ip daddr 203.0.113.1 tcp dport 80 accept",
        'nft add rule inet filter forward iifname "ipmasq-in" oifname "gi" '
        "ip daddr 10.0.0.3 tcp dport 8080 accept",
    )


def test_of_a_forward_that_a_rule_drops_the_rule_is_named_for_deletion() -> None:
    rule = "-A FORWARD -d 10.0.0.3/32 -p tcp -m tcp --dport 8080 -j DROP"
    forward = Forward("web", 6, None, PortRange(80, 80), SERVER.address, 8080)
    found = the(findings(saved(rule, policy="ACCEPT"), ONCE, [forward]))
    assert found.deletes == (f"iptables {rule.replace('-A', '-D')}",)


def test_a_rule_about_all_tcp_is_answered_for_all_tcp() -> None:
    rule = [match(IIF, "gi"), match({"meta": {"key": "l4proto"}}, "tcp"), DROP]
    texts = {("inet filter", 7): 'iifname "gi" meta l4proto tcp drop'}
    found = findings(tables(rule, policy="accept", texts=texts), replace(ONCE, forwards=False))
    accept = 'iifname "gi" oifname "go" meta l4proto tcp accept'
    assert the(found).commands == (f"nft insert rule inet filter forward handle 7 {accept}",)
    assert the(found).deletes == ("nft delete rule inet filter forward handle 7",)


def test_pings_of_inside_hosts_to_the_public_address_need_a_rule_of_their_own() -> None:
    where = replace(ONCE, forwards=False, answers=True)
    found = the(findings(tables(*USUAL), where))
    assert "does not accept gi -> ipmasq-in (pings of inside hosts to the public addr" in found.what
    rule = 'iifname "gi" oifname "ipmasq-in" meta l4proto icmp accept'
    assert found.commands == (f"nft add rule inet filter forward {rule}",)
    assert found.only_pings
    assert not the(findings(tables(ESTABLISHED), where)).only_pings
    accepted = [
        match(IIF, "gi"),
        match(OIF, "ipmasq-in"),
        match({"meta": {"key": "l4proto"}}, "icmp"),
        ACCEPT,
    ]
    assert findings(tables(accepted, *USUAL), where) == ()


def test_pings_are_not_said_to_need_a_rule_where_inside_hosts_may_not_ping_the_gateway() -> None:
    where = replace(ONCE, forwards=False, answers=True)
    state = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    usual = (state, "-A FORWARD -i gi -o go -j ACCEPT")
    assert the(findings(saved(*usual), where)).commands == (
        "iptables -A FORWARD -i gi -o ipmasq-in -p icmp -j ACCEPT",
    )
    assert findings(saved(":INPUT DROP [0:0]", *usual), where) == ()


def test_of_a_ping_to_the_public_address_it_is_said_how_it_passes() -> None:
    ping = Passage(1, (Side.INSIDE, None), CLIENT, PUBLIC._replace(port=0), PUBLIC, False)
    found = the(of_flow(tables(*USUAL), ONCE, ping))
    rule = 'iifname "gi" oifname "ipmasq-in" ip daddr 203.0.113.1 meta l4proto icmp accept'
    assert found.commands == (f"nft add rule inet filter forward {rule}",)


@pytest.mark.parametrize("policy", ["DROP", "ACCEPT"])
def test_dockers_place_for_the_operators_rules_is_used_for_narrow_ones_too(policy: str) -> None:
    rules = (":DOCKER-USER - [0:0]", "-A FORWARD -j DOCKER-USER", "-A FORWARD -i gi -j DROP")
    found = the(of_flow(saved(*rules[: 2 if policy == "DROP" else 3], policy=policy), ONCE, OUT))
    where = "DOCKER-USER" if policy == "DROP" else "FORWARD 2"
    assert f"iptables -I {where} -i gi -o go -p tcp --dport 21 -j ACCEPT" in found.commands


def test_an_address_of_no_host_is_not_asked_for() -> None:
    elsewhere = OUT._replace(client=CLIENT._replace(address=to_address("10.0.0.9")))
    rule = [match(SADDR, "10.0.0.2"), DROP]
    assert of_flow(tables(rule, *USUAL), ONCE, elsewhere) == ()
