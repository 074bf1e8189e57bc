"""Finds settings that are legal but probably wrong on any machine. `host_checks.py` has checks that depend on
the machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ipmasq.config.limits import unworkable
from ipmasq.config.mistakes import Mistake, overlap
from ipmasq.config.model import WITH_PORTS, Config
from ipmasq.config.tables import forward, rule, trigger
from ipmasq.config.values import AUTO, duration_text, protocol_text
from ipmasq.core.policy import ANY_PROTOCOL, Action, Behaviour, Forward, HelperUse, PortRange, Rule
from ipmasq.wire.addresses import Endpoint, Network

MINIMA = {
    "tcp_established": (7440.0, "RFC 5382 REQ-5", "5382-5"),
    "tcp_opening": (240.0, "RFC 5382 REQ-5", "5382-5t"),
    "tcp_closing": (240.0, "RFC 5382 REQ-5", "5382-5t"),
    "udp": (120.0, "RFC 4787 REQ-5", "4787-5"),
    "icmp": (60.0, "RFC 5508 REQ-2", "5508-2"),
}
"""Shortest idle times in seconds, their source, and the row of docs/conformance.md."""

WELL_KNOWN = 1023
"""The last well-known port (RFC 6335, 6)."""

ANSWER = 5.0
"""Seconds that a resolver waits for an answer before it retries (RES_TIMEOUT, resolv.conf(5))."""

EXPECTATION_MINIMUM = 30.0
"""RFC 6384, 12."""

LOOPBACK = 127
"""The first byte of loopback addresses."""

MASQUERADED = (ANY_PROTOCOL, 1, 6, 17)


def find_warnings(config: Config, helpers: Mapping[str, HelperUse]) -> Iterator[Mistake]:
    yield from _timeouts(config)
    yield from unworkable(config)
    yield from _low_ports(config)
    yield from _rules(config)
    yield from _triggers(config)
    yield from _helpers(config, helpers)
    yield from _forwards_and_helpers(config, helpers)
    if config.control.mode & 0o007:
        message = "lets every user of this host command the gateway"
        yield ("control", "mode"), message
    listen = config.metrics.listen
    if isinstance(listen, Endpoint) and listen.address[0] != LOOPBACK:
        message = "whoever can reach it can read the metrics; let only the scraper's address in"
        yield ("metrics", "listen"), message
    yield from _translation_log(config)


def _translation_log(config: Config) -> Iterator[Mistake]:
    table = config.translation_log
    sharing = config.gateway.mapping is Behaviour.ADDRESS_AND_PORT_DEPENDENT
    if sharing and table.is_wanted and not table.destinations:
        message = (
            "several hosts share a public port: without destinations nobody can tell whose it was"
        )
        yield ("translation_log", "destinations"), message


def short_times(times: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find idle times (seconds; `udp_ports`: by port) that are shorter than a standard, or an answer, allows.
    Yield the name (of a port, `udp_ports` and its number) and a message."""
    for key, (least, rfc, row) in MINIMA.items():
        value = times.get(key, least)
        if value < least:
            lack = f"{duration_text(value)} is below the {duration_text(least)}"
            yield (key,), f"{lack} of {rfc} (row {row})"
    least, rfc, row = MINIMA["udp"]
    for port, value in times.get("udp_ports", {}).items():
        if value < least and port > WELL_KNOWN:
            message = (
                f"{duration_text(value)} for port {port} is below the {duration_text(least)} of {rfc};"
                f" only ports to {WELL_KNOWN} may have less (row {row}a)"
            )
            yield ("udp_ports", str(port)), message
        elif value < ANSWER:
            message = (
                f"{duration_text(value)} for port {port} is shorter than the {duration_text(ANSWER)} that programs"
                " wait for an answer; one that comes later is dropped"
            )
            yield ("udp_ports", str(port)), message


def _timeouts(config: Config) -> Iterator[Mistake]:
    for path, message in short_times(dict(config.timeouts)):
        yield ("timeouts", *path), message
    for name, table in config.helper.items():
        if table.expectation_life < EXPECTATION_MINIMUM:
            life = duration_text(table.expectation_life)
            message = f"{life} is below the {duration_text(EXPECTATION_MINIMUM)} of RFC 6384, 12 (row 6384-12b)"
            yield ("helper", name, "expectation_life"), message


def _low_ports(config: Config) -> Iterator[Mistake]:
    for key in ("ports", "data_ports"):
        ports = getattr(config.gateway, key)
        if ports and ports != AUTO and ports.low < 1024:
            message = f"{ports} has ports below 1024, which are for servers; some peers refuse them"
            yield ("gateway", key), message


def _rules(config: Config) -> Iterator[Mistake]:
    earlier: list[tuple[int, Rule]] = []
    for index, table in config.rule.items():
        this = rule(table)
        if this.protocol == ANY_PROTOCOL and (table.ports or table.from_ports):
            key = "ports" if table.ports else "from_ports"
            message = "only TCP and UDP have ports; without a protocol all others match as well"
            yield ("rule", index, key), message
        if this.action is Action.MASQUERADE and this.protocol not in MASQUERADED:
            message = f"{protocol_text(this.protocol)} cannot be masqueraded, so it is dropped"
            yield ("rule", index, "protocol"), message
        for number, other in earlier:
            if _covers(other, this):
                message = (
                    f"never decides: rule {number + 1} ({other.text}) matches all of it before"
                )
                yield ("rule", index), message
                break
        earlier.append((index, this))


def _covers(one: Rule, other: Rule) -> bool:
    """Return whether `one` matches whatever `other` matches."""
    if one.protocol not in (ANY_PROTOCOL, other.protocol):
        return False
    ports_matter = other.protocol in WITH_PORTS
    return (
        _all_in(other.source, one.source)
        and _all_in(other.destination, one.destination)
        and (not ports_matter or _ports_in(other.source_ports, one.source_ports))
        and (not ports_matter or _ports_in(other.destination_ports, one.destination_ports))
    )


def _all_in(some: tuple[Network, ...], others: tuple[Network, ...]) -> bool:
    if not others:
        return True
    return bool(some) and all(
        any(net.length >= other.length and net.address in other for other in others) for net in some
    )


def _ports_in(some: tuple[PortRange, ...], others: tuple[PortRange, ...]) -> bool:
    return all(any(r.low >= o.low and r.high <= o.high for o in others) for r in some)


def _triggers(config: Config) -> Iterator[Mistake]:
    forwards = [forward(table) for table in config.forward.values()]
    for index, table in config.trigger.items():
        this = trigger(table)
        for other in forwards:
            same = other.protocol == this.opens_protocol
            if same and overlap(other.ports, this.opens_ports):
                message = f"overlaps forward {other.name} ({other.ports}), which comes first"
                yield ("trigger", index, "opens"), message


def _helpers(config: Config, helpers: Mapping[str, HelperUse]) -> Iterator[Mistake]:
    for name, use in helpers.items():
        protocol = protocol_text(use.protocol)
        if use.protocol != use.make().protocol:
            message = f"the helper was not written for {protocol}, so it understands nothing there"
            yield ("helper", name, "protocol"), message


def _forwards_and_helpers(config: Config, helpers: Mapping[str, HelperUse]) -> Iterator[Mistake]:
    for index, table in config.forward.items():
        for key, message in unhelped(forward(table), helpers.values()):
            yield ("forward", index, key), message


def unhelped(this: Forward, helpers: Iterable[HelperUse]) -> Iterator[tuple[str, str]]:
    """Find helpers that will not inspect a forward although its ports are theirs. Yield the setting at fault
    and a message."""
    for use in helpers:
        listened = [p for p in sorted(use.ports) if p in this.ports or p in this.inside_ports]
        if not listened:
            continue
        port = listened[0]
        if use.protocol != this.protocol:
            spoken, wanted = protocol_text(this.protocol), protocol_text(use.protocol)
            message = (
                f"{port} is a port of helper {use.name}, which inspects {wanted}, not {spoken}"
            )
            yield "protocol", message
        elif not use.orthogonal:
            message = (
                f"{port} is a port of helper {use.name}, which is not orthogonal: it does not"
                " inspect connections to a server inside"
            )
            yield "port", message
