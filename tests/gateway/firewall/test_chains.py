"""What chains do to a packet of which only some facts are known."""

from __future__ import annotations

import pytest

from ipmasq.gateway.firewall.chains import (
    NOT_UNDERSTOOD,
    Chain,
    Condition,
    Rule,
    Table,
    Verdict,
)

FACTS = {"iif": "lan", "oif": "wan", "state": "new", "saddr": "10.0.0.0/24"}
FACTS |= {"daddr": "198.51.100.1", "dport": "1400-1700"}
ACCEPT, DROP = Verdict.ACCEPT, Verdict.DROP


def verdicts(*rules: Rule, policy: Verdict = DROP, **others: list[Rule]) -> set[Verdict]:
    chains = {name: Chain(list(its)) for name, its in others.items()}
    table = Table("nft", "inet filter", {"forward": Chain(list(rules), policy), **chains})
    return set(table.verdicts("forward", FACTS))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition("iif", ("lan",)), True),
        (Condition("iif", ("lan",), negated=True), False),
        (Condition("iif", ("la*",)), True),
        (Condition("oif", ("eth+", "wa+")), True),
        (Condition("oif", ("eth*",)), False),
        (Condition("saddr", ("10.0.0.0/8",)), True),
        (Condition("saddr", ("10.0.0.7",)), None),
        (Condition("saddr", ("172.17.0.0/16",)), False),
        (Condition("saddr", ("172.17.0.0/16",), negated=True), True),
        (Condition("saddr", ("2001:db8::/32",)), False),
        (Condition("saddr", ("nonsense",)), None),
        (Condition("daddr", ("198.51.100.0/24",)), True),
        (Condition("daddr", ("10.0.0.0/8",)), False),
        (Condition("dport", ("80", "443")), False),
        (Condition("dport", ("1000-2000",)), True),
        (Condition("dport", ("1000-2000",), negated=True), False),
        (Condition("dport", ("1500-1600",)), None),
        (Condition("dport", ("http",)), None),
        (Condition("unknown", ("x",)), None),
        (NOT_UNDERSTOOD, None),
    ],
)
def test_a_condition_holds_or_does_not_or_perhaps(condition: Condition, holds: bool | None) -> None:
    assert condition.holds(FACTS) is holds


def test_without_rules_the_policy_decides() -> None:
    assert verdicts() == {DROP}
    assert verdicts(policy=ACCEPT) == {ACCEPT}


def test_the_first_rule_that_holds_for_certain_decides() -> None:
    assert verdicts(Rule((Condition("iif", ("lan",)),), ACCEPT), Rule((), DROP)) == {ACCEPT}


def test_a_rule_that_may_hold_leaves_both_possible() -> None:
    assert verdicts(Rule((NOT_UNDERSTOOD,), ACCEPT)) == {ACCEPT, DROP}
    assert verdicts(Rule((NOT_UNDERSTOOD,), DROP)) == {DROP}


def test_a_jump_comes_back_and_a_goto_does_not() -> None:
    accept = Rule((), ACCEPT)
    assert verdicts(Rule((), jump="other"), accept, other=[]) == {ACCEPT}
    assert verdicts(Rule((), jump="other", returns=False), accept, other=[]) == {DROP}
    assert verdicts(Rule((), jump="other"), accept, other=[Rule((), DROP)]) == {DROP}
    back = [Rule((), Verdict.RETURN), Rule((), DROP)]
    assert verdicts(Rule((), jump="other"), accept, other=back) == {ACCEPT}


def test_a_chain_that_is_not_known_or_leads_to_itself_may_do_anything() -> None:
    assert verdicts(Rule((), jump="elsewhere")) == {ACCEPT, DROP}
    loop = [Rule((), jump="other")]
    assert verdicts(Rule((), jump="other"), other=loop) == {ACCEPT, DROP}
