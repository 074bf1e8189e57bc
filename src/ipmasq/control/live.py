"""Requests for views that stay open: the busiest flows and hosts, and a summary that is renewed.

They cost the same for ten flows and for a million: flows are read by `Survey`, once for all views.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from heapq import heappush, heappushpop
from typing import Any

from ipmasq.control import answers, arguments
from ipmasq.control.answer import Pause, Rows
from ipmasq.control.gateway import Context
from ipmasq.control.protocol import Kind, RequestError, Row
from ipmasq.control.survey import FlowRate, HostRate
from ipmasq.core.reasons import Reason
from ipmasq.core.shortage import name
from ipmasq.core.table import PROTOCOLS
from ipmasq.core.views import FlowView
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, to_text

AT_ONCE = 256
"""Pools that are examined in one step: about 0.1 ms."""

HOSTS_AT_ONCE = 16
"""Hosts that are examined in one step: about 20 us."""


def top(context: Context, which: arguments.Top) -> Rows:
    """Yield the flows with the highest rates or the most bytes, the first one first."""
    context.survey.want()
    for rate in context.survey.flows(which.by, which.limit):
        view = context.gateway.engine.flow(rate.flow)
        yield _flow(context, view, rate) if view is not None else Pause.LOOKED


def helped(context: Context, _: arguments.Nothing) -> Rows:
    """Yield the flows that helpers inspect, and those that they expected."""
    context.survey.want()
    for number in context.survey.helped:
        view = context.gateway.engine.flow(number)
        yield _rated(context, view) if view is not None else Pause.LOOKED


def flow(context: Context, which: arguments.WhichFlow) -> Rows:
    """Yield one flow, then its control flow, or its data flows."""
    context.survey.want()
    engine = context.gateway.engine
    view = engine.flow(which.flow)
    if view is None:
        raise RequestError(Kind.NOT_FOUND, f"there is no flow {which.flow}")
    yield _rated(context, view)
    master = engine.flow(view.master) if view.master is not None else None
    if master is not None:
        yield _rated(context, master)
    yield from _linked(context, view)


def _linked(context: Context, control: FlowView) -> Rows:
    """Yield the data flows of a control flow. They were opened later, so the latest come last."""
    engine, left = context.gateway.engine, control.links
    for number in context.numbers() if left else ():
        each = engine.table.flows.get(number)
        data = engine.flow(number) if each is not None and each.master == control.id else None
        yield _rated(context, data) if data is not None else Pause.LOOKED
        left -= data is not None
        if not left:
            return


def _rated(context: Context, view: FlowView) -> Row:
    out, back = context.survey.rate(view.id) or (0.0, 0.0)
    return _flow(context, view, FlowRate(out + back, view.id, out, back))


def _flow(context: Context, view: FlowView, rate: FlowRate) -> Row:
    encrypted = context.transfers.is_encrypted(view.id)
    rates = {"rate_out": round(rate.out), "rate_in": round(rate.back)}
    return {**answers.flow(view, context.now), "encrypted": encrypted, **rates}


def hosts(context: Context, which: arguments.Hosts) -> Rows:
    """Yield the inside hosts with the highest rates, the most flows or the most ports, the first one first."""
    context.survey.want()
    held = context.gateway.engine.table.mappings.ports

    def ports(host: Address) -> int:
        return sum(held.get((protocol, host), 0) for protocol in PROTOCOLS)

    orders: dict[str, Callable[[Address, HostRate], float]] = {
        "rate": lambda _, found: found.total,
        "bytes": lambda _, found: found.bytes,
        "flows": lambda _, found: found.flows,
        "ports": lambda host, _: ports(host),
    }
    order = orders[which.by]
    first: list[tuple[float, int, Address, HostRate]] = []
    for number, (host, found) in enumerate(context.survey.listed):
        entry = order(host, found), -number, host, found  # of equals, the first ones
        if len(first) < which.limit:
            heappush(first, entry)
        else:
            heappushpop(first, entry)
        if number % HOSTS_AT_ONCE == 0:
            yield Pause.LOOKED
    for *_, host, found in sorted(first, reverse=True):
        yield _host(host, found, ports(host))


def _host(host: Address, rate: HostRate, ports: int) -> Row:
    return {
        "host": to_text(host),
        "flows": rate.flows,
        "ports": ports,
        "bytes": rate.bytes,
        "rate_out": round(rate.out),
        "rate_in": round(rate.back),
    }


def summary(context: Context, how: arguments.Summary) -> Rows:
    """Yield one row about everything, then one every so many seconds, when the client has read the last."""
    while True:
        context.survey.want()
        yield (yield from _summary(context))
        if how.every is None:
            return
        due = context.clock() + how.every
        yield Pause.TICK
        while context.clock() < due:
            yield Pause.TICK


def _summary(context: Context) -> Generator[Pause, None, Row]:
    engine, survey = context.gateway.engine, context.survey
    ports = yield from _ports(context)
    fast = list(context.gateway.fast_path())
    yield Pause.LOOKED
    reasons = [reason for reason in Reason if reason < Reason.IDLE and engine.counts[reason]]
    dropped = {each.name.lower(): engine.counts[each] for each in reasons if each.is_drop}
    dropped.update({each.name: each.value for each in fast if each.is_drop and each.value})
    bytes_out, bytes_in = survey.moved
    rate_out, rate_in = survey.rates
    return {
        "time": round(context.clock() + context.epoch, 3),
        "obstructions": sum(not each.only_pings for each in context.gateway.firewall.found),
        "flows": engine.table.count,
        "flows_over": len(engine.table.over),
        "max_flows": engine.policy.limits.flows,
        "flows_opened": engine.manager.opened,
        "hosts": len(engine.table.hosts),
        "expectations": len(engine.manager.expectations),
        "packets_engine": sum(engine.counts[each] for each in reasons if not each.is_drop),
        "packets_fast_path": sum(each.value for each in fast if each.name == "offloaded"),
        "dropped": dropped,
        "ports": ports,
        "bytes_out": bytes_out,
        "bytes_in": bytes_in,
        "rate_out": round(rate_out),
        "rate_in": round(rate_in),
        "rates_complete": survey.is_complete,
        "rates_age": round(survey.age, 3),
    }


def _ports(context: Context) -> Generator[Pause, None, dict[str, int]]:
    """Return the public ports in use, by protocol."""
    used: Counter[int] = Counter({ipv4.TCP: 0, ipv4.UDP: 0})
    for number, pool in enumerate(context.gateway.engine.table.mappings.usage(), 1):
        used[pool.protocol] += pool.used
        if number % AT_ONCE == 0:
            yield Pause.LOOKED
    return {name(protocol).lower(): count for protocol, count in used.items()}


REQUESTS: dict[str, tuple[type[arguments.Arguments], Callable[[Context, Any], Rows]]] = {
    "top": (arguments.Top, top),
    "helped": (arguments.Nothing, helped),
    "flow": (arguments.WhichFlow, flow),
    "hosts": (arguments.Hosts, hosts),
    "summary": (arguments.Summary, summary),
}
