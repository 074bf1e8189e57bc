"""Requests for listings. They yield one row at a time, so that a million rows delay nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ipmasq.control import answers, arguments
from ipmasq.control.answer import Pause, Rows, ticks
from ipmasq.control.gateway import Context
from ipmasq.control.protocol import Kind, RequestError
from ipmasq.control.role import silence
from ipmasq.core.admission import is_inside
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.snapshots import mappings_in_steps
from ipmasq.core.views import Explanation, FlowView
from ipmasq.gateway.describe import consequence
from ipmasq.planes.fastpath import Counter
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Endpoint, Network, to_text

EXAMPLE_PORT = 40000

FTPS = 990
"""The port of FTP over TLS (IANA: `ftps`)."""


def status(context: Context, _: arguments.Nothing) -> Rows:
    """Return the state of the gateway."""
    found = [each.as_json() for each in context.gateway.firewall.found]
    yield {**context.gateway.status(), "obstructions": found}


def policy(context: Context, _: arguments.Nothing) -> Rows:
    """Return the part of the configuration that decides about packets, for a replay."""
    yield {"text": context.gateway.policy_text()}


def doctor(context: Context, _: arguments.Nothing) -> Rows:
    """Return what `ipmasq doctor` finds on the gateway's host, examined now or a moment ago, and again if the
    gateway has found another state of the firewall since."""
    for _attempt in range(2):  # the firewall may have changed during the first one
        context.examination.want(context.gateway.firewall.found)
        while context.examination.is_running:
            yield Pause.TICK
        if context.examination.firewall == context.gateway.firewall.found:
            break
    yield context.examination.result(context.epoch)


def flows(context: Context, which: arguments.Which) -> Rows:
    """Yield live flows."""
    known = [each.name for each in context.gateway.engine.helpers()]
    if which.helper is not None and which.helper not in known:
        loaded = ", ".join(known) or "none"
        raise RequestError(Kind.NOT_FOUND, f"there is no helper {which.helper}; loaded: {loaded}")
    for number in context.numbers():
        view = context.gateway.engine.flow(number)
        if view is not None and _is_wanted(view, which):
            encrypted = context.transfers.is_encrypted(view.id)
            yield {
                **answers.flow(view, context.now),
                "encrypted": encrypted,
                **_rates(context, view),
            }
        else:
            yield Pause.LOOKED


def _rates(context: Context, view: FlowView) -> dict[str, int]:
    """Return the rates of a flow, if a view that stays open has them read."""
    found = context.survey.rate(view.id)
    return {} if found is None else {"rate_out": round(found[0]), "rate_in": round(found[1])}


def mappings(context: Context, which: arguments.WhichMapping) -> Rows:
    """Yield inside endpoints and the public endpoints to which they are mapped."""
    for view in mappings_in_steps(context.gateway.engine.manager):
        wanted = view and _has(which, view.protocol, (view.inside, view.public))
        yield answers.mapping(view) if view and wanted else Pause.LOOKED


def forwards(context: Context, _: arguments.Nothing) -> Rows:
    """Yield published servers."""
    yield from map(answers.forward, context.gateway.engine.forwards())


def expectations(context: Context, _: arguments.Nothing) -> Rows:
    """Yield flows that helpers expect."""
    for view in context.gateway.engine.expectations():
        yield answers.expectation(view, context.now)


def helpers(context: Context, _: arguments.Nothing) -> Rows:
    """Yield loaded helpers, with counts of their work."""
    yield from map(answers.helper, context.gateway.engine.helpers())


def stats(context: Context, _: arguments.Nothing) -> Rows:
    """Yield packets since the start by outcome."""
    counts = context.gateway.engine.counts
    for reason in Reason:
        if reason < Reason.IDLE:
            yield answers.reason(reason, counts[reason])
    errors, resets = context.gateway.engine.answered
    by_error, by_reset = (
        f"inside hosts told of a drop by {how}" for how in ("ICMP", "a TCP reset")
    )
    yield answers.counter(Counter("answered.icmp_error", errors, by_error))
    yield answers.counter(Counter("answered.reset", resets, by_reset))
    yield from map(answers.counter, context.gateway.fast_path())


def timeouts(context: Context, _: arguments.Nothing) -> Rows:
    """Return idle times in seconds."""
    yield answers.timeouts(context.gateway.engine.policy.timeouts)


def explain(context: Context, about: arguments.WouldBe) -> Rows:
    """Explain which rule and which helper a flow has, live or not, and why."""
    if about.flow is not None:
        view = context.gateway.engine.flow(about.flow)
        if view is None:
            raise RequestError(Kind.NOT_FOUND, _no_flow(context, about.flow))
        protocol, source, destination, side = _packet_of(view)
    elif about.protocol and about.source and about.destination:
        protocol, source, destination = about.protocol, about.source, about.destination
        _need_ports(protocol, source=source, destination=destination)
        side = Side[about.side.upper()] if about.side else _side_of(context, source, destination)
    else:
        raise RequestError(Kind.BAD_ARGUMENT, "name a flow, or protocol, source and destination")
    found = context.gateway.engine.explain(protocol, source, destination, side, context.now)
    dropped: Sequence[str] = ()
    if found.passage:
        dropped = yield from ticks(context.gateway.obstructions(found.passage))
    explained = answers.explanation(found)
    group = context.gateway.availability
    if group is not None and (said := silence(group.summary())):
        explained["steps"] = [said, *explained["steps"]]
    yield {
        "transfer": _transfer(context, found, protocol, destination, side),
        **explained,
        "side": side.name.lower(),
        "firewall": list(dropped),
    }


def _transfer(
    context: Context, found: Explanation, protocol: int, destination: Endpoint, side: Side
) -> str | None:
    """Return why a transfer fails: one of this control flow, or that for which this connection would be."""
    known = context.transfers
    said = known.about(found.flow) if found.flow is not None else known.at(destination)
    if said is None and (protocol, destination.port) == (ipv4.TCP, FTPS):
        return f"port {FTPS} is encrypted from the first byte: {consequence(side)}"
    return said


def _no_flow(context: Context, flow: int) -> str:
    last = context.transfers.about(flow)
    return f"there is no flow {flow}" + (f"; before it ended, {last}" if last else "")


def _need_ports(protocol: int, **ends: Endpoint) -> None:
    """Raise RequestError if a port is missing, since every TCP or UDP flow has ports."""
    without = [name for name, end in ends.items() if not end.port]
    if protocol in (ipv4.TCP, ipv4.UDP) and without:
        address = to_text(ends[without[0]].address)
        text = f'{" and ".join(without)}: a port is missing, such as "{address}:{EXAMPLE_PORT}"'
        raise RequestError(Kind.BAD_ARGUMENT, text)


def _is_wanted(view: FlowView, which: arguments.Which) -> bool:
    return (
        which.helper in (None, view.helper)
        and which.state in (None, view.state)
        and _has(which, view.protocol, (view.inside, view.public, view.remote, view.remote_real))
        and _was_opened(view, which)
    )


def _was_opened(view: FlowView, which: arguments.Which) -> bool:
    """Return whether the ends match of the packet that opened the flow, and of one that answers it."""
    _, source, destination, side = _packet_of(view)
    answers_from = view.remote_real if side is Side.INSIDE else view.inside
    answers_to = view.public if side is Side.INSIDE else view.remote
    return (
        _is_in(source, which.source)
        and which.source_port in (None, source.port)
        and _is_in(destination, which.destination)
        and which.destination_port in (None, destination.port)
        and _is_in(answers_from, which.reply_source)
        and _is_in(answers_to, which.reply_destination)
    )


def _is_in(end: Endpoint, network: Network | None) -> bool:
    return network is None or end.address in network


def _has(
    which: arguments.Which | arguments.WhichMapping, protocol: int, ends: tuple[Endpoint, ...]
) -> bool:
    """Return whether the ends match. Host and port may be those of different ends: a client's address and the
    server's port."""
    return (
        which.protocol in (None, protocol)
        and (which.host is None or any(which.host == end.address for end in ends))
        and (which.port is None or any(which.port == end.port for end in ends))
    )


def _packet_of(view: FlowView) -> tuple[int, Endpoint, Endpoint, Side]:
    """Return the packet that opened the flow, as it came in."""
    if view.opened_by is Side.INSIDE:
        return view.protocol, view.inside, view.remote, Side.INSIDE
    return view.protocol, view.remote, view.public, Side.OUTSIDE


def _side_of(context: Context, source: Endpoint, destination: Endpoint) -> Side:
    """Return the side from which a packet comes, as far as the addresses tell. A packet to neither the
    gateway nor an inside host is assumed to come from inside, though its source may be in no inside network.
    """
    policy = context.gateway.engine.policy
    if is_inside(policy, source.address):
        return Side.INSIDE
    own = policy.own.union(policy.public)
    aimed = destination.address in own or is_inside(policy, destination.address)
    return Side.OUTSIDE if aimed or source.address in own else Side.INSIDE


REQUESTS: dict[str, tuple[type[arguments.Arguments], Callable[[Context, Any], Rows]]] = {
    "status": (arguments.Nothing, status),
    "policy": (arguments.Nothing, policy),
    "doctor": (arguments.Nothing, doctor),
    "flows": (arguments.Which, flows),
    "mappings": (arguments.WhichMapping, mappings),
    "forwards": (arguments.Nothing, forwards),
    "expectations": (arguments.Nothing, expectations),
    "helpers": (arguments.Nothing, helpers),
    "stats": (arguments.Nothing, stats),
    "timeouts": (arguments.Nothing, timeouts),
    "explain": (arguments.WouldBe, explain),
}
