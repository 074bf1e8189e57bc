"""Frozen copies of what is alive, for people and other programs."""

from __future__ import annotations

from ipmasq.core.door import Speaker
from ipmasq.core.flow import Flow, Mapping
from ipmasq.core.helping import Attachment
from ipmasq.core.life import Life
from ipmasq.core.side import Side
from ipmasq.core.tcp_states import shown
from ipmasq.core.views import NO_SHIFT, FlowView, MappingView, Shift


def flow(life: Life, flow: Flow) -> FlowView:
    inside, public, remote = life.faces(flow)
    outward = Speaker.CLIENT if flow.opened_by is Side.INSIDE else Speaker.SERVER
    out, back = flow.half(outward), flow.half(outward.other)
    attachment = flow.helper
    helper = None
    if isinstance(attachment, Attachment) and attachment.watching:
        helper = attachment.registered.use.name
    return FlowView(
        id=flow.id,
        protocol=flow.protocol,
        opened_by=flow.opened_by,
        inside=inside,
        public=public,
        remote=remote,
        state=state(flow),
        origin=flow.origin,
        helper=helper,
        master=flow.master.id if flow.master else None,
        links=flow.links,
        opened=flow.opened,
        seen=flow.seen,
        expires=flow.deadline(life.policy.timeouts),
        packets_out=out.packets,
        bytes_out=out.bytes,
        packets_in=back.packets,
        bytes_in=back.bytes,
        shift_out=_shift(flow, outward),
        shift_in=_shift(flow, outward.other),
    )


def state(flow: Flow) -> str:
    """One of `tcp_states.NAMES`."""
    return shown(flow.state, flow.half(Speaker.SERVER).packets > 0)


def _shift(flow: Flow, speaker: Speaker) -> Shift:
    stream = flow.watch.streams[speaker] if flow.watch else None
    return stream.shift if stream else NO_SHIFT


def mapping(mapping: Mapping) -> MappingView:
    return MappingView(mapping.protocol, mapping.inside, mapping.public, mapping.flows)
