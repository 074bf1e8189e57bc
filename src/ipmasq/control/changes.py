"""Requests that change something. The change is one step of the gateway, which is done when it is answered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ipmasq.config import misfit, short_times
from ipmasq.config.helpers import installed_names
from ipmasq.control import answers, arguments
from ipmasq.control.answer import Answer, ticks
from ipmasq.control.gateway import Context
from ipmasq.control.protocol import Kind, RequestError, Row
from ipmasq.core.policy import Forward
from ipmasq.gateway.setup import SetupError

MOST_NAMES = 20
"""The most names in a message."""


@contextmanager
def _reported(what: str, known: Iterable[str] = ()) -> Iterator[None]:
    """Turn errors into RequestError. The message names `what` if it does not exist, and the `known` ones."""
    try:
        yield
    except KeyError:
        raise RequestError(Kind.NOT_FOUND, f"there is no {what}{_instead(known)}") from None
    except ValueError as error:
        raise RequestError(Kind.REFUSED, str(error)) from None


def _instead(known: Iterable[str]) -> str:
    names = sorted(known)
    return f"; there are {', '.join(names[:MOST_NAMES])}" if names else ""


def _saved(context: Context, save: bool) -> Row:
    return {"saved": context.gateway.saved_path} if save else {}


def _doubts(context: Context) -> list[str]:
    group = context.gateway.availability
    return [group.doubt] if group is not None and group.doubt else []


def _doubted(context: Context) -> Row:
    return {"warnings": doubts} if (doubts := _doubts(context)) else {}


def reload(context: Context, _: arguments.Nothing) -> Row:
    """Read the configuration file again and apply it."""
    try:
        closed, warnings = context.gateway.reload()
    except SetupError as error:
        text = "the configuration has mistakes; the running one stays in force"
        raise RequestError(Kind.CONFIG, text, tuple(error.mistakes)) from None
    return {"closed": closed, "warnings": list(warnings)}


def forward_add(context: Context, new: arguments.NewForward) -> Answer:
    """Publish a server until the next restart or reload. It is reviewed before, and the answer waits until its ways
    through the firewall are examined."""
    protocol, inside = answers.protocol(new.protocol), new.inside_port or new.ports
    if new.protocol not in (6, 17):
        raise RequestError(Kind.BAD_ARGUMENT, "protocol: only tcp and udp have ports to forward")
    if message := misfit(new.ports, inside):
        raise RequestError(Kind.BAD_ARGUMENT, f"inside_port: {message}")
    name = new.name or f"{protocol}-{new.ports}"
    forward = Forward(name, new.protocol, new.public, new.ports, new.inside, inside.low)
    with _reported(name):
        reviewed = yield from ticks(context.gateway.review_forward(forward))
        warnings = context.gateway.add_forward(forward, new.save, reviewed)
    found = yield from ticks(context.gateway.obstructions(forward))
    told = [*warnings, *found, *_doubts(context)]
    if forward not in context.gateway.engine.forwards():
        told.append("it was removed meanwhile, by another request or by a reload")
    return {**answers.forward(forward), "warnings": told, **_saved(context, new.save)}


def forward_remove(context: Context, which: arguments.Saved) -> Row:
    """Stop publishing a server. Its live flows continue."""
    forwards = context.gateway.engine.forwards()
    with _reported(f"forward {which.name}", (each.name for each in forwards)):
        context.gateway.remove_forward(which.name, which.save)
    return {"name": which.name, **_saved(context, which.save), **_doubted(context)}


def close(context: Context, which: arguments.WhichFlow) -> Row:
    """End a flow."""
    if not context.gateway.close(which.flow):
        raise RequestError(Kind.NOT_FOUND, f"there is no flow {which.flow}")
    return {"flow": which.flow}


def helper_load(context: Context, new: arguments.NewHelper) -> Row:
    """Load a helper by its registered name, or from a file."""
    if (new.name is None) == (new.file is None):
        raise RequestError(Kind.BAD_ARGUMENT, "say either the name of a helper or a file")
    if new.file is not None and context.peer.user not in (0, os.geteuid()):
        # Code from a file runs with the gateway's rights, which are more than the socket's group has.
        raise RequestError(Kind.FORBIDDEN, "only root may load a helper from a file")
    with _reported(f"helper {new.name or new.file}", installed_names()):
        name = context.gateway.load_helper(new.name, new.file, new.ports, new.save)
    return {"name": name, **_saved(context, new.save), **_doubted(context)}


def helper_reload(context: Context, which: arguments.Named) -> Row:
    """Load a helper's code again. Its connections continue with the new code."""
    with _reported(f"helper {which.name}", _loaded(context)):
        context.gateway.reload_helper(which.name)
    return {"name": which.name}


def helper_unload(context: Context, which: arguments.Saved) -> Row:
    """Unload a helper. Its connections continue."""
    with _reported(f"helper {which.name}", _loaded(context)):
        context.gateway.unload_helper(which.name, which.save)
    return {"name": which.name, **_saved(context, which.save), **_doubted(context)}


def _loaded(context: Context) -> list[str]:
    return [each.name for each in context.gateway.engine.helpers()]


def timeouts_set(context: Context, new: arguments.NewTimeouts) -> Row:
    """Change idle times until the next restart or reload, also those of live flows."""
    changed = new.model_dump(exclude_none=True)
    if not changed:
        names = ", ".join(arguments.NewTimeouts.model_fields)
        raise RequestError(Kind.BAD_ARGUMENT, f"say which idle time to set: {names}")
    before = context.gateway.engine.policy.timeouts
    changed["udp_ports"] = {**before.udp_ports, **changed.get("udp_ports", {})}
    timeouts = replace(before, **changed)
    context.gateway.set_timeouts(timeouts)
    warnings = [f"{'.'.join(path)}: {message}" for path, message in short_times(changed)]
    warnings += _doubts(context)
    return {**answers.timeouts(timeouts), "warnings": warnings}


REQUESTS: dict[str, tuple[type[arguments.Arguments], Callable[[Context, Any], Row]]] = {
    "reload": (arguments.Nothing, reload),
    "forward_remove": (arguments.Saved, forward_remove),
    "close": (arguments.WhichFlow, close),
    "helper_load": (arguments.NewHelper, helper_load),
    "helper_reload": (arguments.Named, helper_reload),
    "helper_unload": (arguments.Saved, helper_unload),
    "timeouts_set": (arguments.NewTimeouts, timeouts_set),
}

ANSWERS: dict[str, tuple[type[arguments.Arguments], Callable[[Context, Any], Answer]]] = {
    "forward_add": (arguments.NewForward, forward_add),
}
"""Those whose answer takes longer than the change."""
