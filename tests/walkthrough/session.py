"""A page from its first command to its last."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.walkthrough.hosts import Hosts
from tests.walkthrough.likeness import is_like
from tests.walkthrough.page import Type, Write, steps

DOCS = Path(__file__).parent.parent.parent / "docs"
README = DOCS.parent / "README.md"
"""Its sessions are copies of those of the pages."""


def pages() -> list[Path]:
    """The pages that have something to type."""
    found = [DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
    return [page for page in found if any(steps(page.read_text(encoding="utf-8")))]


@dataclass(frozen=True)
class Outcome:
    step: Type
    code: int
    shown: list[str]

    @property
    def is_as_said(self) -> bool:
        return self.code == 0 and (not self.step.shown or is_like(self.step.shown, self.shown))

    def __str__(self) -> str:
        said = "\n".join(self.step.shown) or "(nothing is said)"
        shown = "\n".join(self.shown)
        where = f"{self.step.host or 'the machine'}, line {self.step.first}"
        return f"{where}: {self.step.command}\nexit code {self.code}\n-- said:\n{said}\n-- shown:\n{shown}"


@contextmanager
def hosts() -> Iterator[Hosts]:
    with tempfile.TemporaryDirectory(prefix="walkthrough") as directory:
        made = Hosts(Path(directory), f"walk{os.getpid()}")
        try:
            yield made
        finally:
            made.close()


def go_through(text: str) -> Iterator[Outcome]:
    """Do what a page says, and yield what came of each command. One that ends with `&` goes on until the page has
    come to its end; the page says what it shows first."""
    left: dict[Type, str] = {}
    with hosts() as where:
        for step in steps(text):
            if isinstance(step, Write):
                where.write(step.host, step.path, step.text)
            elif step.command.endswith("&"):
                left[step] = where.leave(step.host, step.command.removesuffix("&"))
            else:
                yield Outcome(step, *where.type(step.host, step.command))
        for step, name in left.items():
            yield Outcome(step, 0, where.ends(name)[: len(step.shown)])
