"""Finds input rules that take packets from outside for others.

Packets from outside that the engine returns to the host come in by the outside interface once more. Where the
kernel cannot do that (`planes/tun/reentry.py`), they pass the input hook as from `ipmasq-out`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.gateway.firewall.chains import Rule, Table
from ipmasq.gateway.firewall.ways import DOWN, Where

MOST_NAMED = 4


def mistaken(table: Table, where: Where) -> tuple[str, str] | None:
    """Return what is wrong and how to correct it; None if no rule is mistaken."""
    found = [rule for rule in _rules(table) if _tells_apart(rule, where.outside)]
    if not found:
        return None
    rules = "1 input rule" if len(found) == 1 else f"{len(found)} input rules"
    text = f"{rules} of {table.kind} {table.name} may take packets from {where.outside} for others, since some"
    text += f" that the gateway returns to the host come in by {DOWN}"
    text += "".join(f"; {each.location}: {each.shown}" for each in found[:MOST_NAMED])
    return text, f"write {DOWN} beside {where.outside} there"


def _rules(table: Table) -> Iterator[Rule]:
    """Yield the rules that a packet may meet at the input hook."""
    waiting, seen = list(table.input), set(table.input)
    while waiting:
        for rule in table.chains[waiting.pop()].rules:
            yield rule
            if rule.jump in table.chains and rule.jump not in seen:
                seen.add(rule.jump)
                waiting.append(rule.jump)


def _tells_apart(rule: Rule, outside: str) -> bool:
    """Return whether a condition holds for only one of the two interfaces."""
    named = [each for each in rule.conditions if each.key == "iif"]
    return any(each.holds({"iif": outside}) != each.holds({"iif": DOWN}) for each in named)
