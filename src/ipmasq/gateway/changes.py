"""What to tell an operator about changes made while the gateway runs: which of them a reload discards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from ipmasq.config import duration_text
from ipmasq.core.policy import Policy


def discarded(before: Policy, running: Policy, after: Policy) -> Sequence[str]:
    """What was changed while it ran and is not so after a reload, a sentence each. `before`: what the file
    said last, `after`: what it says now."""
    return [
        *_forwards(before, running, after),
        *_helpers(before, running, after),
        *_timeouts(before, running, after),
    ]


def _forwards(before: Policy, running: Policy, after: Policy) -> Iterator[str]:
    old, new = set(before.forwards), set(after.forwards)
    for forward in running.forwards:
        if forward not in old | new:
            yield f"forward {forward.name} was added while the gateway ran, and is not in the file: removed"
    for forward in before.forwards:
        if forward not in running.forwards and forward in new:
            yield f"forward {forward.name} was removed while the gateway ran, but is in the file: it is back"


def _helpers(before: Policy, running: Policy, after: Policy) -> Iterator[str]:
    old, now, new = (
        {use.name: use.ports for use in policy.helpers} for policy in (before, running, after)
    )
    for name, ports in now.items():
        if name not in new and name not in old:
            yield f"helper {name} was loaded while the gateway ran, and is not in the file: unloaded"
        elif name in new and ports not in (old.get(name), new[name]):
            yield f"helper {name} was loaded with other ports while the gateway ran: those of the file are back"
    for name in old:
        if name not in now and name in new:
            yield f"helper {name} was unloaded while the gateway ran, but is in the file: it is back"


def _timeouts(before: Policy, running: Policy, after: Policy) -> Iterator[str]:
    old, new = asdict(before.timeouts), asdict(after.timeouts)
    for name, seconds in asdict(running.timeouts).items():
        if seconds not in (old[name], new[name]):
            was, now = duration_text(seconds), duration_text(new[name])
            yield f"timeout {name} was set to {was} while the gateway ran: it is {now} again"
