"""The filter table as `iptables-save` writes it (iptables-extensions(8))."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ipmasq.gateway.firewall.chains import NOT_UNDERSTOOD, Chain, Condition, Rule, Table, Verdict

TARGETS = {"ACCEPT": Verdict.ACCEPT, "DROP": Verdict.DROP, "REJECT": Verdict.DROP}
TARGETS |= {"RETURN": Verdict.RETURN}
KEYS = {"-i": "iif", "-o": "oif", "--ctstate": "state", "--state": "state"}
IGNORED = {"-m": 1, "--comment": 1}
"""What neither narrows a rule nor says what becomes of the packet, and how many words follow."""

STATUSES = {"SNAT": "snat", "DNAT": "dnat"}
"""`--ctstate` knows these two as well, which are conntrack's status."""


def table(text: str, kind: str = "iptables") -> Table | None:
    """None if there is no filter table. Raises ValueError or IndexError if it is no such text."""
    found, inside = Table(kind, "filter"), False
    for line in text.splitlines():
        if line.startswith("*"):
            inside = line == "*filter"
        elif inside and line.startswith(":"):
            name, policy = line[1:].split()[:2]
            found.chains[name] = Chain(policy=TARGETS.get(policy, Verdict.ACCEPT))
        elif inside and line.startswith("-A "):
            _, name, *words = shlex.split(line)
            found.chains.setdefault(name, Chain()).rules += _rules(words)
    found.forward = ["FORWARD"] if "FORWARD" in found.chains else []
    return found if found.forward else None


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
    if key != "state":
        return Condition(key, (said,), negated)
    states = said.split(",")
    if any(each in STATUSES for each in states):
        # Of what the gateway translates, the kernel translates nothing: these never hold.
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
"""Targets after which a packet goes on, as a rule; a name that is none of them is a chain's."""
