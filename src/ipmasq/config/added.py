"""Checks a forward that is added while the gateway runs as if it were in the file: one rule for both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ipmasq.config.checking import review
from ipmasq.config.host_state import HostState
from ipmasq.config.loading import Loaded
from ipmasq.config.mistakes import contradictions
from ipmasq.config.model import ForwardTable
from ipmasq.config.problems import Problem, Report
from ipmasq.config.tables import table_of
from ipmasq.core.policy import Forward, HelperUse


def consequences(
    loaded: Loaded, forward: Forward, helpers: Iterable[HelperUse], here: HostState
) -> Report:
    """Return what `check` would report in addition if this forward were in the file, and no other, and these
    helpers were in use."""
    uses = {use.name: use for use in helpers}
    before = _said(loaded, {}, uses, here)
    after = _said(loaded, {0: ForwardTable.model_validate(table_of(forward))}, uses, here)
    return Report(
        tuple(each for each in after.errors if each not in before.errors),
        tuple(each for each in after.warnings if each not in before.warnings),
    )


def about_forward(problem: Problem) -> str:
    """Return the message, with its location if that is not the forward itself."""
    if problem.key.startswith("forward "):
        return problem.message
    return f"{problem.key}: {problem.message}"


def _said(
    loaded: Loaded,
    forwards: Mapping[int, ForwardTable],
    uses: Mapping[str, HelperUse],
    here: HostState,
) -> Report:
    config = loaded.config.model_copy(update={"forward": forwards})
    made = replace(loaded, config=config, helpers=uses, problems=(), own_forwards=len(forwards))
    problems = tuple(made.problem(*each) for each in contradictions(config, uses, ()))
    return review(replace(made, problems=problems), here, starting=True)
