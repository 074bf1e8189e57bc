"""The shape of the code: tests mirror the tree, functions and files stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import pytest

TOP = Path(__file__).parent.parent
SOURCE = TOP / "src" / "ipmasq"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py")

MIRRORED = ("wire", "core", "helpers", "testing", "config", "control")
"""Each of their modules has a test file of its own name."""

LONGEST_FILE = 400
LONGEST_FUNCTION = 45
MEDIAN, NINE_TENTHS = 6, 15


class Function(NamedTuple):
    name: str
    """Its file and its own name."""
    lines: int
    """Of its body: without signature, docstring and blank lines; comments count."""


def functions(path: Path) -> Iterator[Function]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            start = first.end_lineno if ast.get_docstring(node) is not None else first.lineno - 1
            found = lines[start : node.end_lineno]
            name = f"{path.relative_to(SOURCE)}: {node.name}"
            yield Function(name, sum(bool(line.strip()) for line in found))


def all_functions() -> list[Function]:
    return [function for path in MODULES for function in functions(path)]


def mirrored() -> list[str]:
    return [
        str(path.relative_to(SOURCE))
        for path in MODULES
        if path.relative_to(SOURCE).parts[0] in MIRRORED
    ]


@pytest.mark.parametrize("module", mirrored())
def test_a_module_has_a_test_file_of_its_own_name(module: str):
    path = TOP / "tests" / module
    test = path.with_name(f"test_{path.name}")
    assert test.exists(), f"write {test.relative_to(TOP)}"
    names = [
        node.name
        for node in ast.walk(ast.parse(test.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    assert any(name.startswith(("test_", "Test")) for name in names)


def test_no_file_is_long():
    long = {
        str(path.relative_to(SOURCE))
        for path in MODULES
        if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE
    }
    assert long == set(), "split it"


def test_no_function_is_long():
    long = {each.name for each in all_functions() if each.lines > LONGEST_FUNCTION}
    assert long == set(), "split it"


def test_most_functions_are_short():
    lines = [each.lines for each in all_functions()]
    assert median(lines) <= MEDIAN
    assert quantiles(lines, n=10)[-1] <= NINE_TENTHS


def test_lines_of_a_function_are_those_of_its_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.test_shape.SOURCE", tmp_path)
    file = tmp_path / "some.py"
    file.write_text(
        'def one(\n    a: int,\n) -> int:\n    """What it is."""\n\n    # Why.\n    b = a\n\n    return b\n'
        'def none() -> None:\n    """Nothing."""\n'
    )
    assert list(functions(file)) == [("some.py: one", 3), ("some.py: none", 0)]
