"""Parses the rule set as `nft -j list ruleset` writes it (libnftables-json(5))."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ipmasq.gateway.firewall.chains import NOT_UNDERSTOOD, Chain, Condition, Rule, Table, Verdict

FAMILIES = ("ip", "inet")
VERDICTS = {"accept": Verdict.ACCEPT, "drop": Verdict.DROP, "reject": Verdict.DROP}
VERDICTS |= {"return": Verdict.RETURN, "continue": Verdict.CONTINUE}
VERDICTS |= {"masquerade": Verdict.TRANSLATE, "snat": Verdict.TRANSLATE}
KEYS = {("meta", "iifname"): "iif", ("meta", "oifname"): "oif", ("meta", "nfproto"): "nfproto"}
KEYS |= {("meta", "iif"): "iif", ("meta", "oif"): "oif"}
KEYS |= {("ct", "state"): "state", ("ct", "status"): "status"}
KEYS |= {("payload", "saddr"): "saddr", ("payload", "daddr"): "daddr"}
KEYS |= {("payload", "protocol"): "proto", ("payload", "dport"): "dport"}
KEYS |= {("meta", "l4proto"): "proto"}
HARMLESS = (
    "counter",
    "log",
    "mangle",
    "ct helper",
    "notrack",
    "flow",
    "comment",
    "set",
    "synproxy",
)
"""Statements that neither restrict a rule nor give a verdict."""

Named = Mapping[tuple[str, str], Sequence[Any]]
"""Elements of sets and maps, by table and name."""


Texts = Mapping[tuple[str, int], str]
"""Rules as `nft -a list ruleset` shows them, by table and handle."""


def tables(said: Mapping[str, Any], texts: Texts = MappingProxyType({})) -> list[Table]:
    """Return the tables for IPv4 whose rules are complete. Those of iptables are not: they have `xt`
    statements, of which nft shows only the name. Raises KeyError, TypeError or ValueError if this is no rule
    set."""
    found: dict[tuple[str, str], Table] = {}
    named: dict[tuple[str, str], Sequence[Any]] = {}
    foreign = set()
    for kind, each in _objects(said["nftables"]):
        name = each.get("family", ""), each.get("table", each.get("name", ""))
        if name[0] not in FAMILIES:
            continue
        table = found.setdefault(name, Table("nft", " ".join(name)))
        if kind == "chain":
            _add_chain(table, each)
        elif kind in ("set", "map"):
            named[table.name, each["name"]] = each.get("elem", ())
        elif kind == "rule":
            handle = each.get("handle", 0)
            text = texts.get((table.name, handle), "")
            where = {"chain": each["chain"], "number": handle, "numbered": "handle"}
            rules = _rules(each["expr"], table.name, named)
            chain = table.chains.setdefault(each["chain"], Chain())
            chain.rules += [replace(rule, said=text, **where) for rule in rules]
            if any("xt" in statement for statement in each["expr"]):
                foreign.add(name)
    return [
        table
        for name, table in found.items()
        if name not in foreign and (table.forward or table.postrouting or table.input)
    ]


def texts(listing: str) -> Texts:
    """Return the rules of `nft -a list ruleset`, where each has its handle in a comment."""
    found: dict[tuple[str, int], str] = {}
    table = ""
    for line in listing.splitlines():
        text, _, handle = line.strip().rpartition(" # handle ")
        if text.startswith("table ") and text.endswith("{"):
            table = text.removeprefix("table ").removesuffix("{").strip()
        elif text and handle.isdigit() and not text.endswith("{"):
            found[table, int(handle)] = text
    return found


def _objects(objects: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for each in objects:
        yield from each.items()


def _add_chain(table: Table, each: Mapping[str, Any]) -> None:
    chain = table.chains.setdefault(each["name"], Chain())
    chain.policy = VERDICTS[each.get("policy", "accept")]
    if each.get("hook") in ("forward", "input") and each.get("type") == "filter":
        getattr(table, each["hook"]).append(each["name"])
    if each.get("hook") == "postrouting" and each.get("type") == "nat":
        table.postrouting.append(each["name"])


def _rules(statements: Sequence[Any], table: str, named: Named) -> Iterator[Rule]:
    """Yield one rule, or one for each element of a verdict map."""
    conditions: list[Condition] = []
    for statement in statements:
        (kind, said), *_ = statement.items()
        if kind == "match":
            conditions += _conditions(said["left"], said["right"], said["op"] == "!=", table, named)
        elif kind == "vmap":
            for value, verdict in _elements(said["data"], table, named):
                only = _conditions(said["key"], value, False, table, named)
                yield _decided((*conditions, *only), verdict)
        elif kind in VERDICTS or kind in ("jump", "goto"):
            yield _decided(tuple(conditions), statement)
            return
        elif kind not in HARMLESS:
            conditions.append(NOT_UNDERSTOOD)


def _decided(conditions: tuple[Condition, ...], verdict: Mapping[str, Any]) -> Rule:
    (kind, said), *_ = verdict.items()
    if kind in ("jump", "goto"):
        return Rule(conditions, jump=said["target"], returns=kind == "jump")
    if kind not in VERDICTS:  # such as `queue`, whose verdict is unknown
        return Rule((*conditions, NOT_UNDERSTOOD), Verdict.CONTINUE)
    return Rule(conditions, VERDICTS[kind])


def _conditions(
    left: Any, right: Any, negated: bool, table: str, named: Named
) -> tuple[Condition, ...]:
    if isinstance(left, dict) and "concat" in left:
        return _concatenated(left["concat"], right, negated, table, named)
    (kind, said), *_ = left.items() if isinstance(left, dict) else (("", {}),)
    protocol = said.get("protocol", "") if kind == "payload" else ""
    if protocol == "ip6":
        return (Condition("nfproto", ("ipv6",)), NOT_UNDERSTOOD)
    only = () if protocol in ("", "ip", "th") else (Condition("proto", (protocol,)),)
    key = (
        KEYS.get((kind, said.get("key") or said.get("field", "")))
        if isinstance(said, dict)
        else None
    )
    if key is None:
        return (*only, NOT_UNDERSTOOD)
    values = [_text(each) for each in _elements(right, table, named)]
    if not all(isinstance(value, str) for value in values):
        return (*only, NOT_UNDERSTOOD)
    return (*only, Condition(key, tuple(values), negated))


def _concatenated(
    lefts: Sequence[Any], right: Any, negated: bool, table: str, named: Named
) -> tuple[Condition, ...]:
    """Return conditions for `iifname . oifname { "a" . "b", "a" . "c" }`. They are exact with one element;
    with several, each part may match while both together do not, so that nothing is certain."""
    rows = [each["concat"] for each in _elements(right, table, named) if isinstance(each, dict)]
    if not rows or negated:
        return (NOT_UNDERSTOOD,)
    parts: list[Condition] = [] if len(rows) == 1 else [NOT_UNDERSTOOD]
    for left, values in zip(lefts, zip(*rows, strict=False), strict=False):
        parts += _conditions(left, {"set": list(values)}, False, table, named)
    return tuple(parts)


def _elements(right: Any, table: str, named: Named) -> Sequence[Any]:
    if isinstance(right, str) and right.startswith("@"):
        return [_plain(each) for each in named.get((table, right[1:]), ())]
    if isinstance(right, dict) and "set" in right:
        return [_plain(each) for each in right["set"]]
    return right if isinstance(right, list) else [right]


def _text(value: Any) -> Any:
    """Return a prefix, a range or a number as text; anything else unchanged."""
    if isinstance(value, dict) and "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if isinstance(value, dict) and "range" in value:
        return "-".join(map(str, value["range"]))
    return str(value) if isinstance(value, int) else value


def _plain(element: Any) -> Any:
    """Return an element without its counter, comment or timeout."""
    if isinstance(element, dict) and "elem" in element:
        return element["elem"].get("val")
    return element
