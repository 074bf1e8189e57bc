"""The request by which another process takes over from this one."""

from __future__ import annotations

from ipmasq.control import arguments
from ipmasq.control.answer import Answer, Pause
from ipmasq.control.gateway import Context
from ipmasq.control.protocol import Kind, RequestError


def upgrade(context: Context, _: arguments.Nothing) -> Answer:
    """Start this gateway again as it is installed now, and let that process take over. Answered when it has, or has
    failed and this one goes on."""
    upgrade = context.upgrade
    if upgrade is None:
        raise RequestError(Kind.REFUSED, "this gateway does not know how it was started")
    if upgrade.hindrance:
        raise RequestError(Kind.REFUSED, upgrade.hindrance)
    try:
        upgrade.begin()
    except OSError as error:
        raise RequestError(Kind.REFUSED, f"no process can be started: {error.strerror}") from error
    process = upgrade.successor
    while upgrade.is_under_way and not upgrade.has_left:
        yield Pause.TICK
    if not upgrade.has_left:
        raise RequestError(Kind.REFUSED, upgrade.trouble, upgrade.details)
    return {"process": process, "waited": round(upgrade.waited, 4)}


REQUESTS = {"upgrade": (arguments.Nothing, upgrade)}
