"""The documentation tells the whole truth about the closed lists: reasons, events, rows."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from ipmasq.core.events import Event
from ipmasq.core.reasons import Reason

TOP = Path(__file__).parent.parent
DOCS = TOP / "docs"


def table(page: str) -> list[list[str]]:
    """The cells of every table row whose first cell is a `name`."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:3] == "| `"]


def test_every_reason_is_documented_with_its_own_sentence():
    documented = [(cells[0], cells[1]) for cells in table("reasons.md")]
    assert documented == [(f"`{reason.name.lower()}`", reason.sentence) for reason in Reason]


def test_every_reason_is_explained():
    assert all(len(cells) == 3 and len(cells[2]) > 5 for cells in table("reasons.md"))


def test_every_event_is_documented_with_its_fields():
    documented = {
        cells[0].strip("`"): re.findall(r"`(\w+)`", cells[1]) for cells in table("events.md")
    }
    actual = {
        event.__name__: [field.name for field in dataclasses.fields(event)]
        for event in get_args(Event)
    }
    assert documented == actual


def test_every_event_is_listed_once():
    names = Counter(cells[0] for cells in table("events.md"))
    assert set(names.values()) == {1}


PACKAGES = {path.parent.name for path in (TOP / "src" / "ipmasq").glob("*/__init__.py")}


def named_on(page: str) -> set[str]:
    """What stands between single backquotes."""
    return set(re.findall(r"`([^`\n]+)`", (DOCS / page).read_text(encoding="utf-8")))


def found(name: str) -> bool:
    """Whether there is a `package.module.Name.attribute` below `ipmasq`."""
    module, *attributes = name.split(".")
    thing = importlib.import_module(f"ipmasq.{module}")
    for attribute in attributes:
        if isinstance(thing, ModuleType) and not hasattr(thing, attribute):
            with suppress(ModuleNotFoundError):
                importlib.import_module(f"{thing.__name__}.{attribute}")
        if not hasattr(thing, attribute):
            return attribute in getattr(thing, "model_fields", {})
        thing = getattr(thing, attribute)
    return True


def test_the_architecture_names_every_package_and_only_what_exists():
    names = named_on("architecture.md")
    dotted = {name for name in names if name.split(".")[0] in PACKAGES}
    assert {name for name in dotted if not found(name)} == set()
    assert dotted >= PACKAGES
    files = {name for name in names if re.fullmatch(r"(bpf|src|tests|demo)/[\w./]*", name)}
    assert {name for name in files if not (TOP / name).exists()} == set()
    assert files >= {"bpf/tc.h", "bpf/xdp.h"}


def test_a_name_that_does_not_exist_is_found_out():
    assert found("core.engine.Engine.receive")
    assert not found("core.engine.Engine.receives")
    assert not found("core.engines")


def rows() -> list[dict[str, object]]:
    documents = tomllib.loads((DOCS / "rows.toml").read_text(encoding="utf-8"))["document"]
    return [row for document in documents for row in document["rows"]]


def test_no_row_is_listed_twice():
    assert [row for row, count in Counter(row["id"] for row in rows()).items() if count > 1] == []


def test_every_status_of_a_row_is_one_of_three_and_gives_its_reason():
    known = r"(in part|not in this release|not applicable): \S.*"
    statuses = [str(row["status"]) for row in rows() if "status" in row]
    assert [status for status in statuses if not re.fullmatch(known, status)] == []


@pytest.mark.parametrize(("row", "accepted"), [("4787-1", True), ("4787-1000", False)])
def test_a_mark_that_names_an_unknown_row_fails_its_test(tmp_path: Path, row: str, accepted: bool):
    test = tmp_path / "test_marked.py"
    test.write_text(
        f"import pytest\n@pytest.mark.row({row!r})\ndef test_something(): assert True\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(TOP)]
    command += ["-c", str(TOP / "pyproject.toml"), "--confcutdir", str(TOP), "-p", "conftest"]
    environment = {**os.environ, "PYTHONPATH": str(TOP / "tests")}
    done = subprocess.run(
        [*command, str(test)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is accepted, done.stdout + done.stderr
    assert ("not in docs/rows.toml: row" in done.stdout + done.stderr) is not accepted


def test_every_link_between_the_documents_leads_somewhere():
    broken = [
        f"{page.relative_to(TOP)}: {target}"
        for page in [*TOP.glob("*.md"), *DOCS.rglob("*.md")]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []
