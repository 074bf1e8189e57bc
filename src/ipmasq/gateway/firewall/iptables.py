"""Parses tables as `iptables-save` writes them (iptables-extensions(8))."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from ipmasq.gateway.firewall.chains import NOT_UNDERSTOOD, Chain, Condition, Rule, Table, Verdict

TARGETS = {"ACCEPT": Verdict.ACCEPT, "DROP": Verdict.DROP, "REJECT": Verdict.DROP}
TARGETS |= {"RETURN": Verdict.RETURN, "MASQUERADE": Verdict.TRANSLATE, "SNAT": Verdict.TRANSLATE}
KEYS = {
    "-i": "iif",
    "-o": "oif",
    "-s": "saddr",
    "-d": "daddr",
    "-p": "proto",
    "--dport": "dport",
    "--dports": "dport",
    "--ctstate": "state",
    "--state": "state",
}
IGNORED = {"-m": 1, "--comment": 1}
"""Options that neither restrict a rule nor give a verdict, and the number of their arguments."""

HOOKS = (("filter", "FORWARD"), ("filter", "INPUT"), ("nat", "POSTROUTING"))

STATUSES = {"SNAT": "snat", "DNAT": "dnat"}
"""`--ctstate` also knows these two, which are conntrack's status."""


def tables(text: str, kind: str = "iptables") -> list[Table]:
    """Return `filter` and `nat`, if they exist. Raises ValueError or StopIteration if the text has another
    format."""
    found: dict[str, Table] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("*"):
            name = line[1:].strip()
            found[name] = Table(kind, name)
        elif line.startswith(":") and name:
            chain, policy = line[1:].split()[:2]
            found[name].chains[chain] = Chain(policy=TARGETS.get(policy, Verdict.ACCEPT))
        elif line.startswith("-A ") and name:
            _, chain, *words = shlex.split(line)
            rules = found[name].chains.setdefault(chain, Chain()).rules
            found_rules = list(_rules(words)) or [Rule(())]
            number = len(rules) + 1
            rules += [replace(each, said=line, chain=chain, number=number) for each in found_rules]
    for name, hook in HOOKS:
        if name in found and hook in found[name].chains:
            setattr(found[name], hook.lower(), [hook])
    return [table for table in found.values() if table.forward or table.postrouting or table.input]


def _rules(words: list[str]) -> Iterator[Rule]:
    conditions: list[Condition] = []
    rest, negated = iter(words), False
    for word in rest:
        if word == "!":
            negated = True
            continue
        if word in ("-j", "-g"):
            yield _decided(tuple(conditions), next(rest), word == "-j")
            return
        if word in IGNORED:
            next(rest)
        elif word in KEYS:
            conditions.append(_condition(KEYS[word], next(rest), negated))
        elif word.startswith("-"):
            conditions.append(NOT_UNDERSTOOD)
        negated = False


def _condition(key: str, said: str, negated: bool) -> Condition:
    if key == "dport":
        return Condition(key, tuple(said.replace(":", "-").split(",")), negated)
    if key != "state":
        return Condition(key, (said,), negated)
    states = said.split(",")
    if any(each in STATUSES for each in states):
        # The kernel does not translate what the gateway translates, so these never match.
        states = [each for each in states if each not in STATUSES] or ["none"]
    return Condition(key, tuple(each.lower() for each in states), negated)


def _decided(conditions: tuple[Condition, ...], target: str, returns: bool) -> Rule:
    if target in TARGETS:
        return Rule(conditions, TARGETS[target])
    if target in EXTENSIONS:
        return Rule(conditions)
    return Rule(conditions, jump=target, returns=returns)


EXTENSIONS = frozenset(
    [
        "LOG",
        "NFLOG",
        "ULOG",
        "MARK",
        "CONNMARK",
        "CT",
        "NOTRACK",
        "TCPMSS",
        "TOS",
        "DSCP",
        "TTL",
        "CLASSIFY",
        "SET",
        "TRACE",
        "AUDIT",
        "CHECKSUM",
        "SECMARK",
        "CONNSECMARK",
        "TEE",
        "RATEEST",
        "IDLETIMER",
        "LED",
        "HMARK",
        "ECN",
        "TCPOPTSTRIP",
        "SYNPROXY",
        "NFQUEUE",
    ]
)
"""Targets after which evaluation usually continues; any other name is a chain's."""
