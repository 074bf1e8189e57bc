"""What inside hosts may not use, of what they ordinarily do."""

from __future__ import annotations

from dataclasses import replace

from ipmasq.gateway.firewall import iptables
from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.forbidden import forbidden
from tests.gateway.firewall.rule_sets import ONCE, TWICE, USUAL, tables

STATE = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
WEB = "-A FORWARD -i gi -p tcp -m multiport --dports 80,443 -j ACCEPT"


def saved(*rules: str, policy: str = "DROP") -> list[Table]:
    return iptables.tables("\n".join(["*filter", f":FORWARD {policy} [0:0]", *rules, "COMMIT"]))


def the(found: tuple[Finding, ...]) -> str:
    (one,) = found
    return one.what


def test_a_default_that_leaves_out_ordinary_services_is_named_with_what_it_leaves_out() -> None:
    text = the(forbidden(saved(STATE, WEB), ONCE))
    assert text == (
        "inside hosts may not use DNS (udp 53), FTP (tcp 21): iptables filter, "
        "chain FORWARD accepts other traffic only"
    )


def test_without_related_connections_the_data_of_ftp_is_missing_too() -> None:
    established = STATE.replace("RELATED,", "")
    ftp = "-A FORWARD -i gi -p tcp -m tcp --dport 21 -j ACCEPT"
    text = the(forbidden(saved(established, WEB, ftp), ONCE))
    assert "DNS (udp 53), FTP data connections in passive mode (tcp 1024-65535): " in text


def test_a_rule_that_drops_a_service_of_all_inside_hosts_is_named() -> None:
    rule = "-A FORWARD -s 10.0.0.0/16 -i gi -p udp -m udp --dport 53 -j DROP"
    text = the(forbidden(saved("-A FORWARD -o lo", rule, policy="ACCEPT"), ONCE))
    assert text.startswith("inside hosts may not use DNS (udp 53): iptables filter, chain FORWARD,")
    assert f"rule 2: {rule}" in text


def test_where_packets_pass_twice_the_rules_about_each_passage_count() -> None:
    rule = "-A FORWARD -o ipmasq-in -p tcp -m tcp --dport 21 -j DROP"
    assert "FTP (tcp 21)" in the(forbidden(saved(rule, policy="ACCEPT"), TWICE))
    assert forbidden(saved(rule, policy="ACCEPT"), ONCE) == ()


def test_nothing_is_named_where_all_is_accepted_or_all_is_dropped_or_one_host_is_meant() -> None:
    assert forbidden(tables(*USUAL), ONCE) == ()
    assert forbidden(saved(STATE), replace(ONCE, forwards=False)) == ()  # an obstruction
    one = "-A FORWARD -s 10.0.0.66/32 -p tcp -m tcp --dport 80 -j DROP"
    assert forbidden(saved(one, policy="ACCEPT"), ONCE) == ()
