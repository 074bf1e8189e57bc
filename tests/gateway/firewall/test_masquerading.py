"""Rules of the kernel's that translate what the gateway translates."""

from __future__ import annotations

from dataclasses import replace

from ipmasq.gateway.firewall import iptables, nft
from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.findings import findings
from tests.gateway.firewall.rule_sets import (
    IN,
    OIF,
    ONCE,
    OUT,
    SADDR,
    TWICE,
    USUAL,
    match,
    of_flow,
    tables,
)

WHERE = replace(ONCE, forwards=False)
OTHERS = "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"


def saved(*rules: str) -> list[Table]:
    chains = [":POSTROUTING ACCEPT [0:0]", ":own - [0:0]"]
    return iptables.tables("\n".join(["*nat", *chains, *rules, "COMMIT"]))


def test_a_rule_of_nft_is_deleted_by_its_handle() -> None:
    table = {"family": "ip", "table": "nat"}
    hook = {"type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}
    rules = [
        [match(SADDR, "172.17.0.2"), {"masquerade": None}],
        [match(OIF, "go"), {"masquerade": None}],
    ]
    objects: list[dict[str, object]] = [{"chain": {**table, "name": "post", **hook}}]
    objects += [
        {"rule": {**table, "chain": "post", "handle": handle, "expr": rule}}
        for handle, rule in enumerate(rules, 4)
    ]
    texts = {("ip nat", 4): "ip saddr 172.17.0.2 masquerade", ("ip nat", 5): "masquerade"}
    found = nft.tables({"nftables": objects}, texts)
    (one,) = findings(found, WHERE)
    assert one.remedy == "delete: nft delete rule ip nat post handle 5"
    assert "172.17" not in one.what
    assert one.commands == ()  # others may need it: nothing that is done unasked


def test_a_rule_of_iptables_is_deleted_as_it_was_written() -> None:
    (one,) = findings(saved(OTHERS, "-A POSTROUTING -j own", "-A own -o go -j MASQUERADE"), WHERE)
    assert one.deletes == ("iptables -t nat -D own -o go -j MASQUERADE",)


def test_of_a_flow_it_is_said_that_such_a_rule_translates_it() -> None:
    of_one_host = saved("-A POSTROUTING -s 10.0.0.2/32 -o go -j MASQUERADE")
    for where in (WHERE, replace(WHERE, once=False)):  # packets pass twice because of it
        (one,) = of_flow(of_one_host, where, OUT)
        assert "masquerades what leaves by go" in one.what
        delete = "iptables -t nat -D POSTROUTING -s 10.0.0.2/32 -o go -j MASQUERADE"
        assert one.deletes == (delete,)
    assert of_flow(of_one_host, WHERE, IN) == ()
    other = OUT._replace(client=IN.server)
    assert of_flow(of_one_host, WHERE, other) == ()


def test_where_packets_pass_twice_in_any_case_nothing_is_said() -> None:
    assert of_flow(saved("-A POSTROUTING -o go -j MASQUERADE"), TWICE, OUT) == ()


def test_it_is_said_whether_connections_hang_or_may() -> None:
    rule = saved("-A POSTROUTING -o go -j MASQUERADE")
    (one,) = findings([*tables(*USUAL), *rule], WHERE)
    assert "and hang, since it accepts them only once" in one.what
    assert one.effect.startswith("connections of inside hosts hang: ")
    (one,) = of_flow([*tables(*USUAL), *rule], WHERE, OUT)
    assert "and hang, since it accepts them only once" in one.what
    (one,) = findings([*tables(policy="accept"), *rule], WHERE)
    assert "and hang where it accepts them only once" in one.what
    assert one.effect.startswith("connections hang where ")
