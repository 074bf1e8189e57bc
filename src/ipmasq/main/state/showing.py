"""What a state holds, for people and programs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipmasq.continuity.contents import Contents, read
from ipmasq.continuity.copying import copy
from ipmasq.continuity.scratch import scratch
from ipmasq.continuity.store import StoreError
from ipmasq.control.answers import protocol
from ipmasq.core.plain import StateError
from ipmasq.front import output
from ipmasq.front.exits import give_up
from ipmasq.front.tables import duration
from ipmasq.gateway.operated import described

REFUSED = ".refused"
"""The end of the name of a state that a gateway has set aside."""


def read_copy(path: Path) -> Contents:
    """Return what a state holds, which a gateway may be writing. Raises OSError, and typer.Exit."""
    with scratch() as private:
        target = private / "state.db"
        try:
            copy(path, target)
        except FileNotFoundError:
            raise give_up(f"there is no state {path}") from None
        except StoreError as error:
            raise give_up(str(error)) from None
        return read(target)


def report(path: Path, found: Contents) -> dict[str, Any]:
    """Return it as values of JSON."""
    flows = {protocol(number): count for number, count in sorted(found.flows().items())}
    return {
        "file": str(path),
        "trouble": found.trouble,
        "written": found.wall,
        "written_by": found.written_by,
        "tables": found.layout,
        "records": found.version,
        "batches": found.batches,
        "damaged_batches": found.damaged,
        "flows": flows,
        "mappings": found.mappings,
        "expected": dict(found.expectations()),
        "inspected": dict(found.inspected()),
        "changed": _changes(found),
    }


def _changes(found: Contents) -> list[str]:
    try:
        return list(described(found.others))
    except StateError as error:
        return [f"what an operator has changed cannot be read ({error})"]


def say(facts: Mapping[str, Any]) -> None:
    """Print what `report` has returned."""
    damaged = f", {facts['damaged_batches']} of them damaged" if facts["damaged_batches"] else ""
    lines = {
        "file": facts["file"],
        "format": f"tables {facts['tables']}, records {_or(facts['records'], 'unknown')}",
        "written": _moment(facts["written"]),
        "written by": f"ipmasq {facts['written_by']}" if facts["written_by"] else "not on record",
        "batches": f"{facts['batches']}{damaged}",
        "flows": _counts(facts["flows"]),
        "mappings": facts["mappings"],
        "expected flows": _counts(facts["expected"]),
        "inspected": _counts(facts["inspected"]),
    }
    for name, value in lines.items():
        output.say_fact(name, value)
    output.say_fact("changed by hand", *(facts["changed"] or ["nothing"]))
    if facts["file"].endswith(REFUSED) and not facts["trouble"]:
        output.say("Its form is sound: the log of the gateway that refused it says why.")


def _or(value: object, otherwise: str) -> object:
    return otherwise if value is None else value


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _moment(wall: float | None) -> str:
    if wall is None:
        return "nothing that can be read"
    try:
        written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))
    except (OverflowError, ValueError, OSError):
        return f"{wall:g} seconds after 1970, which cannot be"
    return f"{written} ({duration(max(0.0, time.time() - wall))} ago)"
