"""Tries a helper on a playbook or a capture, and prints what it did."""

from __future__ import annotations

import inspect
import io
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ipmasq.config.helpers import line_of, located
from ipmasq.core.helper import TCP, Helper
from ipmasq.core.policy import HelperUse, Policy
from ipmasq.front import output
from ipmasq.main.replay import policy_of
from ipmasq.replay.recorder import Recorder
from ipmasq.replay.replay import replay
from ipmasq.replay.steps import Column, Kind, Outcome, Step
from ipmasq.testing import PlaybookError, Result, perform, read
from ipmasq.wire.addresses import to_network
from ipmasq.wire.record import CaptureError

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
"""The inside networks unless a configuration names others (RFC 1918)."""


class TrialError(Exception):
    """The trial is a failure. The message says what is wrong, in one sentence."""


def declaration(use: HelperUse) -> None:
    """Print what the helper declares."""
    protocol = "TCP" if use.protocol == TCP else "UDP"
    ports = ", ".join(map(str, sorted(use.ports)))
    sides = "either end masqueraded" if use.orthogonal else "only a masqueraded client"
    output.say(f"helper {use.name}: {protocol} port {ports}; {sides}")


def on_playbook(use: HelperUse, path: Path) -> None:
    """Perform a playbook. Raises TrialError if the helper raises, or does not do what the playbook says."""
    try:
        playbooks = read(path.read_text(encoding="utf-8"))
    except (PlaybookError, UnicodeDecodeError) as error:
        raise TrialError(f"{path}: {error}") from None
    results = []
    for playbook in playbooks:
        output.say(f"masqueraded: {playbook.masqueraded}")
        for result in perform(playbook, use.make):
            results.append(result)
            _say_result(result)
    _summarize(Counter(kind for result in results for kind in _kinds(result)))
    for result in results:
        if result.error is not None:
            raise TrialError(_explained(use, path, result))
    if faults := [result.line.number for result in results if result.fault]:
        raise TrialError(f"{path}, line {faults[0]} is not as the playbook says")
    if not results:
        raise TrialError(f"{path}: nobody says anything")


def _explained(use: HelperUse, path: Path, result: Result) -> str:
    """Say what was raised: by the helper, or because the playbook says what cannot be said."""
    assert result.error is not None
    if line_of(_file(type(use.make())), result.error) is None:
        return f"{path}, line {result.line.number}: {result.error}"
    return f"{_of_helper(use, result.error)} (at line {result.line.number} of {path})"


def _say_result(result: Result) -> None:
    line, heard = result.line, result.heard
    end = heard.terminator if heard else b""
    output.say(
        f"{line.number:>4}  {line.speaker} says    {_text(line.text.encode('latin-1'), end)}"
    )
    other = "server" if line.speaker == "client" else "client"
    if heard and heard.after != heard.line:
        output.say(f"      {other} hears   {_text(heard.after, end)}")
    for opened in heard.opened if heard else ():
        _remark(f"expects a connection to {opened.public}, for {opened.announced}")
    for rejected in heard.rejected if heard else ():
        _remark(
            f"{rejected} is not acceptable: not an address of the speaker, or a port below 1024"
        )
    for reason in heard.refusals if heard else ():
        _remark(f"refused: {reason}")
    if result.fault:
        _remark(f"{'RAISED' if result.error else 'WRONG'}: {result.fault}")


def _remark(text: str) -> None:
    output.say(f"      - {text}")


def _text(line: bytes, terminator: bytes) -> str:
    return line.removesuffix(terminator).rstrip(b"\r\n").decode("latin-1")


def _kinds(result: Result) -> Iterable[str]:
    yield "lines"
    if result.heard:
        yield from ["rewritten"] * (result.heard.after != result.heard.line)
        yield from ["expected"] * len(result.heard.opened)
        yield from ["refused"] * (len(result.heard.refusals) + len(result.heard.rejected))


def _summarize(counts: Counter[str]) -> None:
    names = ("lines", "rewritten", "expected", "refused")
    output.say(", ".join(f"{counts[name]} {name}" for name in names))


def on_capture(use: HelperUse, path: Path, config: str | None) -> None:
    """Replay a capture with this helper alone. Raises TrialError if the helper raises, or is given no line."""
    errors: list[Exception] = []
    observed = replace(use, make=_observed(use, errors))
    policy = policy_of(config) if config else Policy(tuple(map(to_network, PRIVATE)), ())
    recorder = Recorder()
    try:
        with path.open("rb") as source:
            summary = replay(
                source, io.BytesIO(), replace(policy, helpers=(observed,)), recorder=recorder
            )
    except CaptureError as error:
        raise TrialError(f"{path}: {error}") from None
    steps = [step for step in recorder.result.steps if _matters(step)]
    for step in steps:
        _say_step(step)
    lines = [step for step in steps if step.kind is Kind.LINE]
    counts = {"lines": len(lines), "rewritten": summary.rewrites}
    counts |= {"expected": summary.expectations, "refused": summary.refused}
    _summarize(Counter(counts))
    if errors:
        raise TrialError(_of_helper(use, errors[0]))
    if summary.failed or not lines:
        raise TrialError(_silent(use, summary.failed))


def _silent(use: HelperUse, failed: int) -> str:
    if failed:
        return f"helper {use.name} failed {failed} times"
    ports = ", ".join(map(str, sorted(use.ports)))
    return f"no line was given to helper {use.name}: no connection to port {ports} was opened"


def _matters(step: Step) -> bool:
    return (
        step.kind is Kind.LINE or step.outcome is Outcome.DROPPED or step.announced_by is not None
    )


def _say_step(step: Step) -> None:
    packet = "" if step.packet is None else f"packet {step.packet}"
    begin = f"{step.at:>9.3f} s  {packet:<12}"
    if step.kind is not Kind.LINE:
        arrow = f"{step.inside or step.public} {'->' if step.source is Column.INSIDE else '<-'} {step.remote}"
        what = "dropped" if step.outcome is Outcome.DROPPED else "opened"
        output.say(f"{begin}{what}: {step.protocol} {arrow}")
    else:
        output.say(f"{begin}from {step.source}: {step.before}")
        if step.after != step.before:
            output.say(f"{'':>25}to {step.target}: {step.after}")
    for sentence in step.sentences:
        output.say(f"{'':>25}- {sentence}")


def _observed(use: HelperUse, errors: list[Exception]) -> Callable[[], Helper]:
    """Return a helper that does the same, and keeps the exceptions that its methods raise in `errors`."""

    def kept(method: str) -> Callable[..., Any]:
        def call(self: Helper, *arguments: Any) -> Any:
            try:
                return getattr(super(observed, self), method)(*arguments)
            except Exception as error:
                errors.append(error)
                raise

        return call

    methods = {name: kept(name) for name in ("on_line", "may_rewrite", "framer")}
    own = type(use.make())
    observed: type[Helper] = type(own.__name__, (own,), methods)
    return observed


def _of_helper(use: HelperUse, error: Exception) -> str:
    """Say what a helper raised, with the line of its file. No other lines are shown."""
    return located(_file(type(use.make())), error)


def _file(helper: type[Helper]) -> str:
    """Return the file of a helper as its tracebacks name it."""
    codes = (getattr(each, "__code__", None) for each in vars(helper).values())
    return next((code.co_filename for code in codes if code), inspect.getfile(helper))
