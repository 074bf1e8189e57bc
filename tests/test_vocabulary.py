"""Retired terms do not come back: identifiers of the code, and metaphors in prose (docs/glossary.md)."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PYTHON = ("src", "tests", "demo", "fuzz", "tools")

RETIRED = {
    "Door": "HelperContext",
    "door": "context",
    "Wishes": "Transaction",
    "wishes": "transaction",
    "awaits": "may_rewrite",
    "Promises": "ExpectationTable",
    "promises": "expectations",
    "Watch": "TcpRewriter",
    "unheard": "awaiting_attach",
    "FlowSettled": "FlowOffloadable",
    "FlowUnsettled": "FlowNotOffloadable",
    "Repeated": "Rewrite",
    "REPEATED": "OFFLOADED",
    "forth": "original",
    "Why": "Reason",
    "why": "reason",
    "Life": "FlowManager",
    "condemned": "blocked",
    "LEASE": "HEARTBEAT_TIMEOUT",
    "beat": "heartbeat",
    "SILENT": "HEARTBEAT_LOST",
    "tired": "retired",
    "RESTING": "QUARANTINED",
    "Police": "Policer",
    "Debtor": "Offender",
    "debtors": "offenders",
    "prices": "costs",
    "KNOWN": "TRACKED",
    "ATTENDED": "NOT_OFFLOADED",
    "STRANGERS": "UNTRACKED",
    "STREAM_OLD": "OUT_OF_WINDOW",
    "openings_per_host": "untracked_pps_per_host",
    "openings_per_side": "untracked_pps_per_side",
    "flow_packets_per_host": "tracked_pps_per_host",
    "Surroundings": "HostState",
    "turmoil": "stress",
    "HostHolds": "SocketLookup",
    "Troubles": "FailureLog",
    "believable": "in_window",
    "is_believable": "is_in_window",
    "Settled": "OffloadedFlow",
    "Place": "Testbed",
    "places": "slots, device_indices, positions or locations",
    "Whole": "Reassembled",
    "Holds": "SocketMatch",
    "faces": "endpoints",
    "place": "slot, position, location, key, line or entry_id",
    "tell": "emit, publish, observe or report",
    "settled": "offloadable",
    "promise": "expectation",
    "promised": "expected",
    "weather": "impairment",
    "court": "oracle",
    "is_pressing": "commands of the verdict",
    "PRESSING": "commands of the verdict",
    "consult": "CounterSource",
    "pump": "receive and send",
    "story": "describe",
}
"""Identifiers that are used nowhere, with what is said instead."""

RETIRED_PARTS = ("promise", "promised", "promises", "wish", "wishes")
"""Words that no identifier has as a part, names of tests included."""

RETIRED_MODULES = {
    "src/ipmasq/core": ("door", "promises", "watch", "why", "life", "repeat", "see"),
    "src/ipmasq/config": ("doubts", "here", "words", "places", "surroundings"),
    "src/ipmasq/gateway": ("story",),
    "src/ipmasq/planes/ebpf": ("police",),
    "src/ipmasq/main/service": ("place",),
    "src/ipmasq/main/state": ("place",),
    "tests/core": ("turmoil",),
    "tests/planes": ("weather",),
    "tests/planes/ebpf": ("court",),
}
"""Modules whose names said nothing of what is in them."""

METAPHORS = (
    r"what becomes of",
    r"what became of",
    r"from now on",
    r"is at home in",
    r"\bsomebody\b",
    r"of (its|their) own accord",
    r"\bgive[sn]? way\b",
    r"\bgiving way\b",
    r"\bpromise[sd]?\b",
    r"\bsettled\b",
    r"\bwatched (stream|connection|flow)",
    r"\bhelpers? watch(es)?\b",
    r"\bthe door\b",
    r"\bthe kernel repeats\b",
    r"\bbelievable\b",
    r"\bweather\b",
    r"\blet in by\b",
    r"\bfloors of the house\b",
)
"""Phrases that stand for a term or a whole sentence; regular expressions, in any case."""


def sources(*suffixes: str) -> list[Path]:
    files = (path for folder in PYTHON for path in sorted((TOP / folder).rglob("*")))
    return [path for path in files if path.suffix in suffixes and path != Path(__file__)]


def names(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.NAME:
                yield token.start[0], token.string


def code_without_comments(path: Path) -> Iterator[tuple[int, str]]:
    text = re.sub(
        r"/\*.*?\*/",
        lambda found: "\n" * found.group().count("\n"),
        path.read_text(encoding="utf-8"),
        flags=re.S,
    )
    for number, line in enumerate(text.splitlines(), 1):
        for name in re.findall(r"\b[A-Za-z_]\w*", line):
            yield number, name


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings and comments of a Python file, each with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno, str(node.value.value)
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def shown(path: Path, line: int, text: str) -> str:
    return f"{path.relative_to(TOP)}:{line}: {text}"


def test_no_retired_identifier_is_used():
    found = [
        shown(path, line, f"{name} is now {RETIRED[name.strip('_')]}")
        for path in sources(".py")
        for line, name in names(path)
        if name.strip("_") in RETIRED
    ]
    assert not found, "\n".join(found)


def test_no_identifier_has_a_retired_word_in_it():
    found = [
        shown(path, line, name)
        for path in sources(".py")
        for line, name in names(path)
        if not set(RETIRED_PARTS).isdisjoint(name.split("_"))
    ]
    assert not found, "\n".join(found)


def test_no_retired_identifier_is_used_in_the_programs():
    programs = [*(TOP / "bpf").glob("*.[ch]"), *sources(".c", ".h")]
    assert programs
    found = [
        shown(path, line, f"{name} is now {RETIRED[name]}")
        for path in programs
        for line, name in code_without_comments(path)
        if name in RETIRED
    ]
    assert not found, "\n".join(found)


def test_no_module_has_a_retired_name():
    found = [
        f"{folder}/{name}.py"
        for folder, modules in RETIRED_MODULES.items()
        for name in modules
        if (TOP / folder / f"{name}.py").exists()
    ]
    assert not found


@pytest.mark.parametrize("folder", [*PYTHON, "bpf"])
def test_no_comment_uses_a_private_metaphor(folder: str):
    metaphor = re.compile("|".join(METAPHORS), re.I)
    if folder == "bpf":
        text = [(path, 1, path.read_text(encoding="utf-8")) for path in (TOP / folder).glob("*.h")]
    else:
        text = [
            (path, line, said)
            for path in sorted((TOP / folder).rglob("*.py"))
            if path != Path(__file__)
            for line, said in prose(path)
        ]
    assert text
    found = [
        shown(path, line, hit.group())
        for path, line, said in text
        if (hit := metaphor.search(" ".join(said.split())))
    ]
    assert not found, "\n".join(found)


def test_no_document_uses_a_private_metaphor():
    metaphor = re.compile("|".join(METAPHORS), re.I)
    documents = [*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")]
    documents = [path for path in documents if path.name != "conformance.md"]
    pages = (TOP / "src" / "ipmasq" / "front" / "web" / "pages").glob("*.[jh]*")
    assert documents
    found = [
        shown(path, 1, hit.group())
        for path in (*documents, *pages)
        for hit in metaphor.finditer(" ".join(path.read_text(encoding="utf-8").split()))
        if hit.group() != "Promise"  # JavaScript's
    ]
    assert not found, "\n".join(found)


def test_every_term_of_the_glossary_is_explained_once():
    lines = (TOP / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:2] == "| "]
    rows = [row for row in rows if row[0] != "term"]
    terms = [term.strip() for row in rows for term in row[0].split(",")]
    assert len(terms) == len(set(terms)) > 50
    assert all(len(row) == 3 and row[1].endswith((".", ").")) for row in rows)


def test_readers_are_led_to_the_glossary():
    for name in ("README.md", "CONTRIBUTING.md"):
        assert "docs/glossary.md" in (TOP / name).read_text(encoding="utf-8")
