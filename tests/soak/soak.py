"""One soak from beginning to end."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipmasq.lab.processes import NETNS, living_in
from tests.soak.load import Load, jobs
from tests.soak.operate import Operator
from tests.soak.samples import CHECK_EVERY, EVERY, Sample, Sampler
from tests.soak.stage import Running, Stage, stage
from tests.soak.verdict import Outcome

MOST_IDLE = 120.0
"""Seconds that the last flow may take to end, with the idle times of `stage.configuration`."""

LIVING = ("flows", "mappings", "expectations")

LOOKS = 5
"""At descriptors that were not open before the load, `EVERY` seconds apart."""

MOST_ERRORS = 5
"""Of the gateway's log that are told in full."""

FAULTS = {"loss": 0.005, "duplication": 0.005, "delay": 0.01, "corruption": 0.002}


@dataclass(frozen=True)
class Plan:
    minutes: float
    plane: str = "tun"
    seed: int = 1
    pause: float = 0.2
    """Seconds between two attempts of a worker."""
    flood: float = 200
    """Packets per second and side."""
    act: float = 3.0
    """Seconds between two things that the operator does; 0: he does nothing."""
    faults: bool = True
    flaps: bool = True
    diagnose: bool = False
    keep: Path | None = None
    """A file for all samples, one line of JSON each."""
    logs: Path | None = None
    """A directory for the gateway's log and the workers' failures."""


def soak(plan: Plan, say: Callable[[str], object]) -> Outcome:
    """`tell` hears how it goes."""
    outcome = Outcome()
    with stage(plan.plane, plan.seed) as made:
        namespaces = made.lab.plan.namespaces
        before = made.trace()
        running = Running(made, FAULTS if plan.faults else {}, plan.diagnose)
        try:
            _run(plan, made, running, outcome, say)
        except RuntimeError as error:  # the gateway has ended, or stands still
            outcome.faults.append(str(error))
        finally:
            ended, outcome.unreachable = running.stop()
        if ended:
            outcome.faults.append(f"the gateway ended with {ended}")
        outcome.faults += _left_behind(before, made.trace())
        outcome.faults += _complaints(made.log)
        if plan.logs is not None:
            plan.logs.mkdir(parents=True, exist_ok=True)
            for path in (made.log, made.directory / "workers.err"):
                shutil.copy(path, plan.logs)
    outcome.faults += [f"a process is left in {name}" for name in living_in(namespaces)]
    outcome.faults += [f"{n} is left" for n in namespaces if (NETNS / n).exists()]
    return outcome


def _run(plan: Plan, made: Stage, running: Running, outcome: Outcome, say: Any) -> None:
    """Raises RuntimeError."""
    sampler = Sampler(running)
    first = sampler.take(checked=True)
    operator = Operator(made, plan.act, plan.flaps)
    load = Load(made, jobs(made, plan.pause, plan.flood))
    try:
        if plan.act:
            operator.start()
        _sample(plan, sampler, say)
    finally:
        if plan.act:
            operator.end()
        outcome.counts = load.end()
        load.kill()
        outcome.done, outcome.refused = operator.done, operator.failed
        outcome.samples = list(sampler.taken)
    _until_idle(sampler)
    last = _last(sampler, first)
    outcome.faults += last.facts["failures"]
    for what in LIVING:
        if last.facts[what]:
            outcome.faults.append(f"{last.facts[what]} {what} live on without traffic")
    outcome.idle = first, last
    outcome.faults += [f"invariants: {text}" for text in sampler.violated]


def _sample(plan: Plan, sampler: Sampler, say: Any) -> None:
    end = time.monotonic() + plan.minutes * 60
    while time.monotonic() < end:
        time.sleep(EVERY)
        checked = len(sampler.taken) % CHECK_EVERY == 0
        sample = sampler.take(checked)
        if plan.keep is not None:
            _keep(plan.keep, sample)
        if checked:
            say(
                f"{sample.at:5.0f} s: {sample.anonymous} kB, {sample.descriptors} descriptors, "
                f"{sample.facts['flows']} flows, invariants {sample.facts['invariants']}"
            )


def _keep(path: Path, sample: Sample) -> None:
    row = {"at": sample.at, "kB": sample.anonymous, "pss": sample.pss, **sample.facts}
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _until_idle(sampler: Sampler) -> None:
    """Until nothing lives any more."""
    deadline = time.monotonic() + MOST_IDLE
    while time.monotonic() < deadline:
        facts = sampler.take().facts
        if not any(facts[what] for what in LIVING):
            return
        time.sleep(EVERY)


def _last(sampler: Sampler, first: Sample) -> Sample:
    """With a recount of what then is there. A gateway looks at its host now and then, with a descriptor that it closes
    again: left open is what is found open each time."""
    last = sampler.take(checked=True)
    for _ in range(LOOKS):
        if not last.opened - first.opened:
            break
        time.sleep(EVERY)
        last = sampler.take(checked=True)
    return last


def _left_behind(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [
        f"left behind: {what} was {before.get(what)!r} and is {after.get(what)!r}"
        for what in sorted(before.keys() | after.keys())
        if before.get(what) != after.get(what)
    ]


def _complaints(log: Path) -> list[str]:
    """Errors in the gateway's log: something went wrong that nobody had foreseen. While an interface is
    away, an attempt may fail and be made again."""
    said = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    errors = [
        f"{row['message']} {row.get('trace', '')}".strip()
        for row in said
        if row["level"] == "error" and not row["message"].endswith("(trying again)")
    ]
    more = [f"{len(errors) - MOST_ERRORS} more errors in the log"] if errors[MOST_ERRORS:] else []
    return [f"in the log: {text}" for text in errors[:MOST_ERRORS]] + more
