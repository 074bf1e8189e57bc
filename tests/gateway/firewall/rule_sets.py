"""Rule sets and flows for tests about the host's firewall."""

from __future__ import annotations

from types import MappingProxyType

from ipmasq.core.side import Side
from ipmasq.core.views import Passage
from ipmasq.gateway.firewall import nft
from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.findings import obstructions
from ipmasq.gateway.firewall.ways import Ends, Where, passed
from ipmasq.wire.addresses import Endpoint, to_address

TWICE = Where("go", ("gi",), ("10.0.0.0/24",), forwards=True)
ONCE = Where("go", ("gi",), ("10.0.0.0/24",), once=True, able=True, forwards=True)

CLIENT, REMOTE = Endpoint(to_address("10.0.0.2"), 40000), Endpoint(to_address("198.51.100.1"), 21)
PUBLIC, SERVER = Endpoint(to_address("203.0.113.1"), 80), Endpoint(to_address("10.0.0.3"), 8080)
OUT = Passage(6, (Side.INSIDE, Side.OUTSIDE), CLIENT, REMOTE, REMOTE, False)
IN = Passage(6, (Side.OUTSIDE, Side.INSIDE), REMOTE, PUBLIC, SERVER, False)
BACK = Passage(6, (Side.INSIDE, Side.INSIDE), CLIENT, PUBLIC, SERVER, False)

Statement = dict[str, object]


def match(left: Statement, right: object, op: str = "==") -> Statement:
    return {"match": {"op": op, "left": left, "right": right}}


IIF: Statement = {"meta": {"key": "iifname"}}
OIF: Statement = {"meta": {"key": "oifname"}}
SADDR: Statement = {"payload": {"protocol": "ip", "field": "saddr"}}
TCP_PORT: Statement = {"payload": {"protocol": "tcp", "field": "dport"}}
ACCEPT: Statement = {"accept": None}
DROP: Statement = {"drop": None}
ESTABLISHED = [match({"ct": {"key": "state"}}, ["established", "related"], "in"), ACCEPT]
USUAL = [ESTABLISHED, [match(IIF, "gi"), match(OIF, "go"), ACCEPT]]


def tables(
    *rules: list[Statement], policy: str = "drop", texts: nft.Texts = MappingProxyType({})
) -> list[Table]:
    """One table with these rules at the forward hook; the first has handle 7."""
    table = {"family": "inet", "table": "filter"}
    hook = {"type": "filter", "hook": "forward", "prio": 0, "policy": policy}
    objects: list[dict[str, object]] = [
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "inet", "name": "filter"}},
        {"chain": {**table, "name": "forward", **hook}},
        *(
            {"rule": {**table, "chain": "forward", "handle": handle, "expr": rule}}
            for handle, rule in enumerate(rules, 7)
        ),
    ]
    return nft.tables({"nftables": objects}, texts)


def of_flow(found: list[Table], where: Where, passage: Passage) -> tuple[Finding, ...]:
    """What is found for one flow."""
    ends = Ends.of(passage)
    return obstructions(found, where, lambda at: passed(passage, at, lambda _: None), ends)
