"""Requests about the role of a gateway in its group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipmasq.control import arguments
from ipmasq.control.answer import Rows
from ipmasq.control.gateway import Context
from ipmasq.control.protocol import Kind, RequestError, Row
from ipmasq.gateway.availability import Availability


def _of(context: Context) -> Availability:
    found = context.gateway.availability
    if found is None:
        raise RequestError(Kind.REFUSED, "this gateway belongs to no group: [ha] is not configured")
    return found


def active(context: Context, given: arguments.Share) -> Row:
    """Become active as soon as the lease of the group, or of a share of it, can be had."""
    return _change(context, given, Availability.activate)


def standby(context: Context, given: arguments.Share) -> Row:
    """Stop forwarding, and let another member be active."""
    return _change(context, given, Availability.stand_by)


def _change(
    context: Context, given: arguments.Share, change: Callable[[Availability, str | None], None]
) -> Row:
    try:
        change(_of(context), given.share)
    except KeyError as error:
        raise RequestError(Kind.NOT_FOUND, f"the group has no share {given.share}") from error
    return {"role": _of(context).role_of(given.share).value}


def status(context: Context, _: arguments.Nothing) -> Row:
    """Return the role of this member, and what it knows of the store."""
    return dict(_of(context).status())


def members(context: Context, _: arguments.Nothing) -> Rows:
    """Yield the members of the group, as they have described themselves in the store. One that is lost serves nothing, and
    how far it follows is not known."""
    for each in _of(context).members():
        is_known = not each.is_lost
        yield {
            "name": each.name,
            "role": each.present_role,
            "generation": each.generation,
            "complete": each.complete if is_known else None,
            "lag": round(each.lag, 3) if is_known and each.lag is not None else None,
            "refused": each.refused,
            "version": each.version,
            "serves": list(each.serves) if is_known else [],
            "age": round(each.age, 3),
        }


def shares(context: Context, _: arguments.Nothing) -> Rows:
    """Yield the shares of a divided group, and what this member has to do with each of them."""
    for each in _of(context).shares():
        yield dict(each)


CHANGES: dict[str, tuple[type[arguments.Arguments], Callable[[Context, Any], Row]]] = {
    "ha_active": (arguments.Share, active),
    "ha_standby": (arguments.Share, standby),
    "ha_status": (arguments.Nothing, status),
}
LISTINGS: dict[str, tuple[type[arguments.Arguments], Callable[[Context, Any], Rows]]] = {
    "ha_members": (arguments.Nothing, members),
    "ha_shares": (arguments.Nothing, shares),
}
