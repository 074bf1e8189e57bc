"""Frozen copies of flows, mappings, expectations and helpers, for people and other programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipmasq.core.flow import Flow
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.mapping import Mapping
from ipmasq.core.ports import PortPool, SharedPool
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.tcp_states import shown
from ipmasq.core.views import NO_SHIFT, FlowView, MappingView, Reading, Shift


def flows(manager: FlowManager) -> Iterator[FlowView]:
    """Yield the flows that are alive at the beginning; see `Engine.flows`."""
    table = manager.table
    for number in table.numbers():
        found = table.flow(number)
        if found is not None:
            yield flow(manager, found)


def flow(manager: FlowManager, flow: Flow) -> FlowView:
    inside, public, remote, remote_real = flow.endpoints
    outward = Speaker.CLIENT if flow.opened_by is Side.INSIDE else Speaker.SERVER
    out, back = flow.half(outward), flow.half(outward.other)
    inspector = flow.inspector
    helper = None
    if inspector is not None and inspector.is_inspecting:
        helper = inspector.registered.use.name
    return FlowView(
        id=flow.id,
        protocol=flow.protocol,
        opened_by=flow.opened_by,
        inside=inside,
        public=public,
        remote=remote,
        remote_real=remote_real,
        state=state(flow),
        origin=str(flow.origin),
        helper=helper,
        master=flow.master,
        links=flow.links,
        opened=flow.opened,
        last_seen=flow.last_seen,
        expires=flow.deadline(manager.policy.timeouts),
        packets_out=out.packets,
        bytes_out=out.bytes,
        packets_in=back.packets,
        bytes_in=back.bytes,
        shift_out=_shift(flow, outward),
        shift_in=_shift(flow, outward.other),
    )


def readings(manager: FlowManager, numbers: Iterable[int]) -> Iterator[Reading]:
    """Yield what those of these flows that are alive have transferred; see `Engine.readings`."""
    for number in numbers:
        found = manager.table.flow(number)
        if found is not None:
            manager.offloading.sync(found)
            yield reading(found)


def reading(flow: Flow) -> Reading:
    out, back = flow.original.bytes, flow.reply.bytes
    if flow.opened_by is not Side.INSIDE:
        out, back = back, out
    is_helped = flow.inspector is not None or flow.master is not None
    return Reading(flow.id, flow.host, flow.opened, out, back, is_helped)


def state(flow: Flow) -> str:
    """Return one of `tcp_states.NAMES`."""
    return shown(flow.state, flow.half(Speaker.SERVER).packets > 0)


def _shift(flow: Flow, speaker: Speaker) -> Shift:
    return flow.inspector.shift(speaker) if flow.inspector else NO_SHIFT


def mappings(manager: FlowManager) -> Iterator[MappingView]:
    """Yield all mappings."""
    return (view for view in mappings_in_steps(manager) if view is not None)


def mappings_in_steps(manager: FlowManager) -> Iterator[MappingView | None]:
    """Yield all mappings, in steps that take little, whatever the number of flows: None is a step that has found none.
    Packets may be received in between."""
    table = manager.table
    while table.unrestored is not None and table.unrestored.some(1):
        yield None
    if table.unrestored is not None:
        table.unrestored.all()  # what is left are mappings without flows
    if any(map(_is_shared, table.mappings.numbered)):
        for number in table.walk(manager.opened):
            found = table.flow(number)
            yield _shared(found) if found is not None else None
    for pool in tuple(table.mappings.numbered):
        yield None
        if pool.used and not _is_shared(pool):
            yield from map(mapping, pool)


def _is_shared(pool: PortPool[Mapping]) -> bool:
    return isinstance(pool, SharedPool)


def _shared(flow: Flow) -> MappingView | None:
    """Return the mapping of a flow that shares a public port with others."""
    if flow.mapping is None or not flow.mapping.shared:
        return None
    return MappingView(flow.protocol, flow.client.real, flow.client.translated, 1)


def mapping(mapping: Mapping) -> MappingView:
    return MappingView(mapping.protocol, mapping.inside, mapping.public, mapping.flows)
