"""What is said about a soak: counts per worker, slopes, and every fault that was found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import isfinite

from tests.soak.load import Count, Job
from tests.soak.samples import Sample
from tests.soak.slope import Slope, slope

WARM_UP = 0.25
"""Part of the time that is left out: tables, rings and the allocator's pools fill first."""

LEAST_WARM_UP = 120.0
"""Seconds: several times the longest idle time of `stage.configuration`."""

LEAST_LEFT = 60.0
"""Seconds of samples without which nothing is said."""

GROWTH = 100.0
"""kB per minute that memory must not surely exceed. A leak of one flow per connection is several times as
much under this load; what is less shows in a longer soak."""

DESCRIPTORS = 1.0
"""Per minute."""


@dataclass
class Outcome:
    """All that is known when it is over."""

    counts: list[tuple[Job, Count | str]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    idle: tuple[Sample, Sample] | None = None
    """Before the load, and once all flows have ended."""
    unreachable: int = 0
    """Objects that only a full collection found to be garbage, at the end."""
    faults: list[str] = field(default_factory=list)


def judge(outcome: Outcome) -> list[str]:
    """Every fault, one sentence each; none if all is well."""
    found = list(outcome.faults)
    for job, count in outcome.counts:
        if isinstance(count, str):
            found.append(f"{job.name}: {count}")
            continue
        found += [f"{job.name}: {text}" for text in count["wrong"]]
        if not count["completed"]:
            found.append(f"{job.name}: nothing was completed")
    memory, descriptors = slopes(outcome.samples)
    if memory.low > GROWTH:
        found.append(f"memory grows by {_interval(memory)} kB/min")
    if descriptors.low > DESCRIPTORS:
        found.append(f"descriptors grow by {_interval(descriptors)} per minute")
    if outcome.idle is not None:
        before, after = outcome.idle
        if left := after.opened - before.opened:
            found.append(f"descriptors were left open: {_counted(left)}")
    return found


def slopes(samples: list[Sample]) -> tuple[Slope, Slope]:
    """Of memory (kB) and of descriptors, per minute, once it is warm."""
    warm = _warm(samples)
    return (
        slope([(each.at / 60, each.anonymous) for each in warm]),
        slope([(each.at / 60, each.descriptors) for each in warm]),
    )


def _warm(samples: list[Sample]) -> list[Sample]:
    begin = max(samples[-1].at * WARM_UP, LEAST_WARM_UP) if samples else 0.0
    warm = [each for each in samples if each.at >= begin]
    return warm if warm and warm[-1].at - warm[0].at >= LEAST_LEFT else []


def in_use(samples: list[Sample]) -> tuple[Slope, Slope]:
    """Of what is allocated and not freed, per minute, once it is warm: kB of the C library's heap, and blocks of
    Python's. If memory grows and these do not, it is the allocators' fragmentation."""
    warm = _warm(samples)
    return (
        slope([(each.at / 60, each.facts["heap_used"] / 1024) for each in warm]),
        slope([(each.at / 60, each.facts["blocks"]) for each in warm]),
    )


def told(outcome: Outcome) -> str:
    """For people."""
    lines = [f"{'worker':<24}{'completed':>10}{'MB':>8}{'failed':>8}  why (the most frequent)"]
    lines += [_row(job, count) for job, count in outcome.counts]
    lines.append("the operator: " + (_counted(outcome.done) or "nothing"))
    if outcome.refused:
        lines.append("  failed: " + _counted(outcome.refused))
    if outcome.samples:
        lines += _figures(outcome.samples, outcome.idle)
    lines.append(f"garbage in cycles at the end: {outcome.unreachable} objects")
    return "\n".join(lines)


def _row(job: Job, count: Count | str) -> str:
    if isinstance(count, str):
        return f"{job.name:<24}{count}"
    failed = Counter(count["failed"])
    most = "; ".join(f"{n} {reason}" for reason, n in failed.most_common(3))
    size = count["bytes"] / 1e6
    return f"{job.name:<24}{count['completed']:>10}{size:>8.1f}{failed.total():>8}  {most}"


def _figures(samples: list[Sample], idle: tuple[Sample, Sample] | None) -> list[str]:
    memory, descriptors = slopes(samples)
    heap, blocks = in_use(samples)
    last = samples[-1]
    sizes = [each.anonymous for each in samples]
    lines = [
        f"memory: {_interval(memory)} kB/min (95 %, once warm); "
        f"from {sizes[0]} to {sizes[-1]} kB, {max(sizes)} at most",
        f"in use of it: {_interval(heap)} kB/min of the C library's, {_interval(blocks)} blocks/min of Python's",
        f"descriptors: {_interval(descriptors)} per minute; "
        f"{min(s.descriptors for s in samples)} to {max(s.descriptors for s in samples)}",
        f"flows: {max(s.facts['flows'] for s in samples)} at most; events: {last.facts['events']}, "
        f"lost: {last.facts['lost_events']}; injected faults: {last.facts['faults']}; "
        f"forwarded in the kernel: {last.facts['offloaded']}",
        "packets: " + _counted(Counter(last.facts["packets"])),
    ]
    if idle is not None:
        before, after = idle
        lines.append(
            f"idle before and after: {before.anonymous} and {after.anonymous} kB, "
            f"{before.descriptors} and {after.descriptors} descriptors, "
            f"{before.facts['blocks']} and {after.facts['blocks']} blocks in use by Python"
        )
    return lines


def _interval(slope: Slope) -> str:
    if not isfinite(slope.margin):
        return "(too short to say)"
    return f"{slope.value:+.1f} +- {slope.margin:.1f}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.most_common())
