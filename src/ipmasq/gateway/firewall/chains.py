"""Evaluates the chains of a netfilter hook for a packet of which only some facts are known.

A condition about an unknown fact, or one that is not understood, may hold or not. Then both cases are
followed, so the result is the set of possible verdicts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TypeAlias

from ipmasq.gateway.firewall.spans import ORDERED, Spans, read_span, read_spans
from ipmasq.wire.lines import foreign

Facts: TypeAlias = Mapping[str, str]
"""What is known of a packet: `iif`, `oif` (interface names), `state`, `status` (conntrack's), `saddr`,
`daddr` (an address, or a network that contains it), `dport` (a port, or a range `1000-2000` that contains
it), `proto`, `nfproto`."""


class Verdict(Enum):
    ACCEPT = auto()
    DROP = auto()
    RETURN = auto()
    CONTINUE = auto()
    TRANSLATE = auto()
    """The kernel will masquerade the packet."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`key` is one of `values`, or with `negated` none of them. A condition without a key is not understood."""

    key: str = ""
    values: Collection[str] = ()
    negated: bool = False
    _spans: Spans | None = field(init=False, compare=False, repr=False)
    """The values, if they are addresses or ports: read once, since sets have many and are asked often."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_spans", read_spans(self.key, self.values))

    def holds(self, facts: Facts) -> bool | None:
        """Return whether it holds; None if that is not known."""
        known = facts.get(self.key)
        if known is None:
            return None
        if self.key not in ORDERED:
            return any(_is_like(known, each) for each in self.values) is not self.negated
        sought = read_span(self.key, known)
        if self._spans is None or sought is None:
            return None
        if not self._spans.overlap(sought):
            return self.negated
        return not self.negated if self._spans.contain(sought) else None


NOT_UNDERSTOOD = Condition()


@dataclass(frozen=True, slots=True)
class Rule:
    conditions: tuple[Condition, ...]
    verdict: Verdict = Verdict.CONTINUE
    jump: str = ""
    """A chain of the same table that is evaluated, instead of a verdict."""
    returns: bool = True
    """Whether evaluation continues after the rule at the end of that chain (`jump`, unlike `goto`)."""
    said: str = field(default="", compare=False)
    """The rule as its tool shows it."""
    chain: str = field(default="", compare=False)
    number: int = field(default=0, compare=False)
    """Its handle (nftables) or its position, from 1 (iptables)."""
    numbered: str = field(default="rule", compare=False)
    """What its tool calls that number: `handle` or `rule`."""

    @property
    def shown(self) -> str:
        """The rule within a sentence."""
        return foreign(self.said)

    @property
    def location(self) -> str:
        """How its tool names it: `chain forward, handle 7` or `chain FORWARD, rule 3`."""
        return f"chain {self.chain}, {self.numbered} {self.number}"

    def holds(self, facts: Facts) -> bool | None:
        answer: bool | None = True
        for condition in self.conditions:
            held = condition.holds(facts)
            if held is False:
                return False
            answer = answer and held
        return answer


@dataclass(slots=True)
class Chain:
    rules: list[Rule] = field(default_factory=list)
    policy: Verdict = Verdict.ACCEPT


@dataclass(slots=True)
class Table:
    """`kind` is `nft` or `iptables`. `name` is the tool's, such as `inet filter`. `forward` has the names of
    its chains that filter at the forward hook, `input` those at the input hook, `postrouting` those that translate
    at that hook."""

    kind: str
    name: str
    chains: dict[str, Chain] = field(default_factory=dict)
    forward: list[str] = field(default_factory=list)
    postrouting: list[str] = field(default_factory=list)
    input: list[str] = field(default_factory=list)

    def verdicts(self, chain: str, facts: Facts) -> frozenset[Verdict]:
        """Return the possible verdicts of a chain at a hook: ACCEPT, DROP or TRANSLATE."""
        found = self._walk(chain, facts, ())
        if Verdict.RETURN in found:
            found = (found - {Verdict.RETURN}) | {self.chains[chain].policy}
        return found

    def dropping(self, chain: str, facts: Facts) -> tuple[Rule, ...]:
        """Return the rule that certainly drops a packet whose only possible verdict is DROP, after the rules that
        lead to its chain. Nothing if the chain's policy drops it, or which rule it is depends on what is not known."""
        return self._dropping(chain, facts, ()) or ()

    def without(self, rule: Rule) -> Table:
        """Return the table as it is after a rule is deleted."""
        left = [each for each in self.chains[rule.chain].rules if each.number != rule.number]
        chain = replace(self.chains[rule.chain], rules=left)
        return replace(self, chains={**self.chains, rule.chain: chain})

    def with_last(self, chain: str, rule: Rule) -> Table:
        """Return the table as it is after a rule is appended to a chain."""
        longer = replace(self.chains[chain], rules=[*self.chains[chain].rules, rule])
        return replace(self, chains={**self.chains, chain: longer})

    def translating(self, chain: str, facts: Facts) -> tuple[Rule, ...]:
        """Return the rules by which the kernel may translate a packet."""
        met = (rule for rule in self._met(chain, facts, ()) if rule.verdict is Verdict.TRANSLATE)
        return tuple({rule.location: rule for rule in met if not rule.jump}.values())

    def _met(self, name: str, facts: Facts, above: Sequence[str]) -> Iterator[Rule]:
        """Yield the rules that may decide, those of the chains to which they lead included."""
        for rule in self.chains[name].rules:
            held = rule.holds(facts)
            if held is False:
                continue
            yield rule
            if rule.jump in self.chains and rule.jump not in above:
                yield from self._met(rule.jump, facts, (*above, name))
            if held and not rule.jump and rule.verdict is not Verdict.CONTINUE:
                return

    def _dropping(self, name: str, facts: Facts, above: Sequence[str]) -> tuple[Rule, ...] | None:
        """Return None where the chain ends without a verdict that is known."""
        for rule in self.chains[name].rules:
            if not rule.holds(facts):
                continue
            if not rule.jump and rule.verdict is not Verdict.CONTINUE:
                return (rule,) if rule.verdict is Verdict.DROP else None
            if rule.jump in self.chains and rule.jump not in above:
                found = self._dropping(rule.jump, facts, (*above, name))
                if found is not None or not rule.returns:
                    return (rule, *found) if found else None
        return None

    def _walk(self, name: str, facts: Facts, above: Sequence[str]) -> frozenset[Verdict]:
        """Return the possible verdicts; RETURN means that the chain may end without one."""
        chain = self.chains.get(name)
        if chain is None or name in above:
            return frozenset({Verdict.ACCEPT, Verdict.DROP, Verdict.RETURN})
        possible: set[Verdict] = set()
        for rule in chain.rules:
            held = rule.holds(facts)
            if held is False:
                continue
            found = self._follow(rule, facts, (*above, name))
            possible |= found - {Verdict.CONTINUE}
            if held and Verdict.CONTINUE not in found:
                return frozenset(possible)
        return frozenset(possible | {Verdict.RETURN})

    def _follow(self, rule: Rule, facts: Facts, above: Sequence[str]) -> frozenset[Verdict]:
        if not rule.jump:
            return frozenset({rule.verdict})
        found = self._walk(rule.jump, facts, above)
        if rule.returns and Verdict.RETURN in found:
            found = (found - {Verdict.RETURN}) | {Verdict.CONTINUE}
        return found


def _is_like(known: str, value: str) -> bool:
    """Return whether a name matches `eth*` (nftables) or `eth+` (iptables)."""
    if value[-1:] in ("*", "+"):
        return known.startswith(value[:-1])
    return known == value
