"""Finds settings that are valid one by one, and contradictory together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations, product
from operator import itemgetter

from ipmasq.config.locations import Path
from ipmasq.config.messages import meant, settings
from ipmasq.config.model import Config, ForwardTable, GatewayTable, HaTable
from ipmasq.config.sides import addresses_in, named_networks
from ipmasq.config.tables import forward, forward_name, share, trigger_name
from ipmasq.core.admission import is_martian
from ipmasq.core.policy import Forward, HelperUse, PortRange
from ipmasq.wire.addresses import to_text

Mistake = tuple[Path, str]


def contradictions(
    config: Config, helpers: Mapping[str, HelperUse], known: Collection[Path]
) -> Iterator[Mistake]:
    """Yield contradictions. `known`: paths where a mistake was found already; nothing is reported as missing
    there."""
    yield from _incomplete(config, known)
    yield from _sides(config)
    yield from _forwards(config)
    yield from _names(config)
    yield from _classes(config)
    yield from _conflicting_helpers(helpers)
    yield from _ha(config, known)
    yield from _shares(config)


def is_outside(interface: str) -> str:
    return f"{interface} is the outside interface; name the one that the inside hosts are behind"


def overlap(one: PortRange, other: PortRange) -> bool:
    return one.low <= other.high and other.low <= one.high


def _incomplete(config: Config, known: Collection[Path]) -> Iterator[Mistake]:
    gateway = config.gateway
    broken = {path[:2] for path in known}
    # A setting whose name is misspelled is there, and is reported already.
    broken |= {("gateway", name) for path in known if (name := _misspelled(path))}
    if ("gateway",) in broken:
        return
    if not gateway.inside and ("gateway", "inside") not in broken:
        message = 'is missing: who is masqueraded? Name interfaces or networks, inside = ["eth1"]'
        yield ("gateway", "inside"), message
    missing = not gateway.outside and not gateway.public
    if missing and not {("gateway", "outside"), ("gateway", "public")} & broken:
        message = 'is missing: as whom? Name the interface, outside = "eth0"'
        yield ("gateway", "outside"), message


NEEDED = {
    "group": "which gateways belong together? The name is the same at all of them",
    "store": 'which server do they share? Write store = "redis://192.0.2.9:6379"',
    "key_file": "which file has the key that only they know?",
}
"""The settings that [ha] needs, and what they say."""


def _ha(config: Config, known: Collection[Path]) -> Iterator[Mistake]:
    """Find what a member of a group lacks."""
    table, broken = config.ha, {path[:2] for path in known}
    if table == HaTable() or ("ha",) in broken:
        return
    for name, what in NEEDED.items():
        if getattr(table, name) is None and ("ha", name) not in broken:
            yield ("ha", name), f"is missing: {what}"
    if not config.gateway.public and ("gateway", "public") not in broken:
        message = "is missing: name the addresses that move with the role"
        yield ("gateway", "public"), message


def _shares(config: Config) -> Iterator[Mistake]:
    """Find hosts and addresses that belong to no share, or to more than one."""
    if config.share and not config.ha.is_wanted:
        yield ("share", next(iter(config.share))), "belongs to no group: [ha] is missing"
    shares = [(index, share(table)) for index, table in config.share.items()]
    for (_, one), (index, other) in combinations(shares, 2):
        if one.name == other.name:
            yield ("share", index, "name"), f"there is a share {one.name} already"
        if both := set(one.public) & set(other.public):
            message = f"{to_text(min(both))} belongs to share {one.name} already"
            yield ("share", index, "public"), message
        for mine, theirs in product(other.inside, one.inside):
            if mine.address in theirs or theirs.address in mine:
                message = f"{mine} and {theirs} of share {one.name} overlap"
                yield ("share", index, "inside"), message
    pools = config.gateway.public.values()
    for index, each in shares:
        for address in each.public:
            if pools and not any(address in pool for pool in pools):
                message = f"{to_text(address)} is not among the public addresses of [gateway]"
                yield ("share", index, "public"), message
    divided = {address for _, each in shares for address in each.public}
    for index, pool in config.gateway.public.items() if shares else ():
        for address in (a for network in pool.networks for a in addresses_in(network)):
            if address not in divided:
                message = f"{to_text(address)} belongs to no share, so nobody serves it"
                yield ("gateway", "public", index), message
                break


def _misspelled(path: Path) -> str | None:
    """Return the setting of [gateway] that was meant by an unknown one."""
    match path:
        case ("gateway", str(key)) if key not in (known := settings(GatewayTable)):
            return meant(key, known)
    return None


def _sides(config: Config) -> Iterator[Mistake]:
    gateway = config.gateway
    for index, entry in gateway.inside.items():
        if entry == gateway.outside:
            yield ("gateway", "inside", index), is_outside(entry)
    for index, pool in gateway.public.items():
        if martian := next((n for n in pool.networks if is_martian(n.address)), None):
            message = f"{to_text(martian.address)} cannot be anybody's public address"
            yield ("gateway", "public", index), message
        for network in named_networks(gateway) or ():
            if network.address in pool or any(each.address in network for each in pool.networks):
                message = f"the public {pool} and the inside network {network} overlap"
                yield ("gateway", "public", index), message


def _forwards(config: Config) -> Iterator[Mistake]:
    whole: list[tuple[int, Forward]] = []
    pool = config.gateway.public.values()
    for index, table in config.forward.items():
        if message := _misfit(table):
            yield ("forward", index, "to"), message
        else:
            whole.append((index, forward(table)))
        if pool and table.public and not any(table.public in each for each in pool):
            message = f"{to_text(table.public)} is not among the public addresses of [gateway]"
            yield ("forward", index, "public"), message
    for _, one, index in sorted(_overlapping(whole), key=itemgetter(0, 2)):
        yield ("forward", index, "port"), f"overlaps port {one.ports} of forward {one.name}"


def _overlapping(forwards: list[tuple[int, Forward]]) -> Iterator[tuple[int, Forward, int]]:
    """Yield each pair that would take the same packets: the place of the one written first, that forward, and the place of the
    other. In the order of their ports, so that few are compared however many there are."""
    before: list[tuple[int, Forward]] = []
    for index, each in sorted(
        forwards, key=lambda placed: (placed[1].protocol, placed[1].ports.low)
    ):
        before = [
            (at, one)
            for at, one in before
            if one.protocol == each.protocol and overlap(one.ports, each.ports)
        ]
        for at, one in before:
            if None in (one.public, each.public) or one.public == each.public:
                yield (at, one, index) if at < index else (index, each, at)
        before.append((index, each))


def _misfit(table: ForwardTable) -> str | None:
    if is_martian(table.to.address):
        return f"{to_text(table.to.address)} cannot be the address of a server"
    return misfit(table.port, table.to.ports or table.port)


def misfit(public: PortRange, inside: PortRange) -> str | None:
    """Why these public ports cannot lead to these inside ones, of which one port is the first of as many."""
    count = public.high - public.low + 1
    if inside.low != inside.high and inside.high - inside.low + 1 != count:
        return f"{inside} are {inside.high - inside.low + 1} ports, but {public} are {count}"
    if inside.low + count - 1 > 65535:
        return f"{count} ports from {inside.low} on end beyond 65535"
    return None


def _names(config: Config) -> Iterator[Mistake]:
    forwards = {index: forward_name(table) for index, table in config.forward.items()}
    triggers = {index: trigger_name(table) for index, table in config.trigger.items()}
    given = {index for index, table in config.forward.items() if table.name is not None}
    for index, one in _repeated(forwards):
        if {index, one} & given:  # otherwise they overlap, which is reported already
            yield ("forward", index, "name"), _name_taken(forwards, "forward", one)
    for index, one in _repeated(triggers):
        yield ("trigger", index, "name"), _name_taken(triggers, "trigger", one)


def _repeated(names: Mapping[int, str]) -> Iterator[tuple[int, int]]:
    """Yield pairs of indices: an element, and an earlier one with the same name."""
    first: dict[str, int] = {}
    for index, name in names.items():
        if first.setdefault(name, index) != index:
            yield index, first[name]


def _name_taken(names: Mapping[int, str], kind: str, index: int) -> str:
    return f'the name "{names[index]}" is that of {kind} {index + 1} already'


def _classes(config: Config) -> Iterator[Mistake]:
    for name, table in config.helper.items():
        if table.helper_class and not table.file:
            yield ("helper", name, "class"), 'means nothing without "file"'


def _conflicting_helpers(helpers: Mapping[str, HelperUse]) -> Iterator[Mistake]:
    for one, other in combinations(helpers.values(), 2):
        shared = one.ports & other.ports
        if shared and one.protocol == other.protocol:
            ports = ", ".join(map(str, sorted(shared)[:5]))
            message = f"port {ports} is already that of helper {one.name}"
            yield ("helper", other.name, "ports"), message
