"""What to tell an operator about changes made while the gateway runs: which of them a reload discards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from ipmasq.config import duration_text
from ipmasq.core.policy import Policy, Timeouts


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
    old, new = _times(before.timeouts), _times(after.timeouts)
    for name, seconds in _times(running.timeouts).items():
        then = new.get(name, new["udp"])
        if seconds not in (old.get(name, old["udp"]), then):
            was, now = duration_text(seconds), duration_text(then)
            yield f"timeout {name} was set to {was} while the gateway ran: it is {now} again"


def changed_times(before: Timeouts, after: Timeouts) -> Iterator[str]:
    """Which idle times are others, as `udp 30s`."""
    old = _times(before)
    for name, seconds in _times(after).items():
        if old.get(name) != seconds:
            yield f"{name} {duration_text(seconds)}"


def _times(timeouts: Timeouts) -> Mapping[str, float]:
    """Seconds by name; of a UDP port, `udp.53`. One that is missing has the time of `udp`."""
    times = {each.name: getattr(timeouts, each.name) for each in fields(timeouts)}
    ports: Mapping[int, float] = times.pop("udp_ports")
    return {**times, **{f"udp.{port}": seconds for port, seconds in ports.items()}}
