"""What the file of a store holds, also one that is damaged or of another version, as far as it can be read."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ipmasq.continuity.encoding import Batch, decode
from ipmasq.continuity.held import Held
from ipmasq.continuity.sqlite import APPLICATION, LAYOUT
from ipmasq.core.changes import Kind
from ipmasq.core.plain import Fields, StateError
from ipmasq.core.records import FLOW_NAMES, VERSION

VERSION_NAME = "version"
"""The name of the gateway's row with the version of ipmasq that has written last."""

UNKNOWN = "unknown"

T = TypeVar("T")


@dataclass(slots=True)
class Contents:
    trouble: str = ""
    """What is wrong with the file, as a clause; empty if nothing is."""
    layout: int = 0
    """The version of its tables; 0 if it is no state at all."""
    version: int | None = None
    """The version of its records."""
    batches: int = 0
    damaged: int = 0
    """Batches that could not be read."""
    moment: float | None = None
    """When its last batch was written: on the clock of the host, in seconds since it was started."""
    wall: float | None = None
    """The same on the wall clock, in seconds since 1970."""
    about: dict[str, str] = field(default_factory=dict)
    held: Held = field(default_factory=Held)
    """The last record of each thing."""

    @property
    def others(self) -> dict[str, object]:
        """The rows of the gateway by their names."""
        return self.held.of_gateway()

    @property
    def written_by(self) -> str:
        """The version of ipmasq that has written last; empty if that is not on record."""
        found = self.others.get(VERSION_NAME)
        return found if isinstance(found, str) else ""

    @property
    def mappings(self) -> int:
        return len(self.held.plain.mappings) + sum(1 for _ in self._rows(Kind.MAPPING))

    def flows(self) -> Counter[int]:
        """Return how many flows there are, by protocol."""
        found = Counter(row[0] for _, row, _ in self.held.plain.flows.each())
        found.update(_read(each, _protocol, -1) for each in self._rows(Kind.FLOW))
        return found

    def inspected(self) -> Counter[str]:
        """Return how many connections are inspected, by helper."""
        flows = (_read(each, _helper, "") for each in self._rows(Kind.FLOW))
        return Counter(name for name in flows if name)

    def expectations(self) -> Counter[str]:
        """Return how many flows are expected, by helper."""
        return Counter(_read(each, _expecting, UNKNOWN) for each in self._rows(Kind.EXPECTATION))

    def _rows(self, kind: Kind) -> Iterator[object]:
        return (each.row for (found, _), each in self.held.records.items() if found == kind)


def _version(row: object) -> int | None:
    return Fields(row, "").integer("version")


def _protocol(row: object) -> int:
    return Fields.named(row, FLOW_NAMES, "").integer("protocol", 0, 255)


def _expecting(row: object) -> str:
    return Fields(row, "").text("helper")


def _helper(row: object) -> str:
    """Return the helper that inspects a flow; empty if none does."""
    inspector = Fields.named(row, FLOW_NAMES, "").fields_or_none("inspector")
    if inspector is None or not inspector.boolean("is_inspecting"):
        return ""
    return inspector.fields("attachment").text("helper")


def _read(row: object, read: Callable[[object], T], otherwise: T) -> T:
    try:
        return read(row)
    except StateError:
        return otherwise


def read(path: Path) -> Contents:
    """Return what the file of a store holds. It has to be a copy: SQLite moves into it what is in the WAL beside it."""
    found = Contents()
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as store:
            found.trouble = _read_tables(store, found)
    except sqlite3.Error as error:
        found.trouble = found.trouble or f"it cannot be read as a database ({error})"
    return found


def _read_tables(store: sqlite3.Connection, found: Contents) -> str:
    """Read everything, and return what is wrong."""
    run = store.execute
    run("PRAGMA locking_mode = EXCLUSIVE")  # no shared memory beside the file
    run("PRAGMA trusted_schema = OFF")
    run("PRAGMA writable_schema = ON")  # or a file that is cut off would not be read at all
    (application,), (layout,) = (
        run(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
    )
    if application != APPLICATION:
        return "it is not a state of ipmasq"
    found.layout = layout
    if layout != LAYOUT:
        return f"its tables are of version {layout}, and this ipmasq reads version {LAYOUT}"
    trouble = ""
    try:
        if run("SELECT 1 FROM sqlite_schema WHERE type = 'view'").fetchone():
            return "it is damaged (it has a view, which may have no end)"
        found.about = dict(run("SELECT name, value FROM about"))
        for (data,) in run("SELECT changes FROM log ORDER BY turn"):
            said = _enter(found, data)
            trouble = trouble or said
        (sound,) = run("PRAGMA quick_check(1)").fetchone()
    except (sqlite3.Error, ValueError) as error:
        return f"it is damaged ({error})"
    if sound != "ok":
        return f"it is damaged ({sound})"
    return trouble or _wrong_version(found)


def _enter(found: Contents, data: object) -> str:
    """Enter a batch, and return what is wrong with it."""
    found.batches += 1
    try:
        batch: Batch = decode(data)
        found.held.apply(batch.changed, batch.moment)
    except StateError as error:
        found.damaged += 1
        return str(error)
    found.moment, found.wall = batch.moment, batch.wall
    return ""


def _wrong_version(found: Contents) -> str:
    rest = found.held.records.get((Kind.REST, 0))
    if rest is None:
        return "it holds no whole state"
    found.version = _read(rest.row, _version, None)
    if found.version != VERSION:
        return (
            f"its records are of version {found.version}, and this ipmasq reads version {VERSION}"
        )
    return ""
