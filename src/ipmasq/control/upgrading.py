"""The request by which another process takes over from this one."""

from __future__ import annotations

import os

from ipmasq.control import arguments
from ipmasq.control.answer import Answer, Pause
from ipmasq.control.gateway import Context
from ipmasq.control.protocol import Kind, RequestError


def upgrade(context: Context, _: arguments.Nothing) -> Answer:
    """Start this gateway again as it is installed now, and let that process take over when it is ready."""
    successor = context.upgrade
    if trouble := _hindrance(context):
        raise RequestError(Kind.REFUSED, trouble)
    assert successor is not None
    try:
        successor.begin()
    except OSError as error:
        raise RequestError(Kind.REFUSED, f"no process can be started: {error.strerror}") from error
    while not successor.is_ready:
        if successor.trouble:
            raise RequestError(Kind.REFUSED, successor.trouble)
        yield Pause.TICK
    return {"process": successor.successor}


REQUESTS = {"upgrade": (arguments.Nothing, upgrade)}


def _hindrance(context: Context) -> str:
    if context.upgrade is None:
        return "this gateway does not know how it was started"
    if os.getpid() == 1:
        return "this gateway is process 1 of a container, which ends with it: replace the container within state.grace"
    if not context.gateway.leaves_state:
        return "nothing is left to a successor ([state] keep = false), so connections would be lost"
    return ""
