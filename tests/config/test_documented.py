"""The example and the documentation page know every setting of the model, and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ipmasq.config import Config, check, load
from ipmasq.config.messages import settings
from ipmasq.config.model import table_at
from tests.config.marked import HERE

EXAMPLE = files("ipmasq.config") / "example.toml"
PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
HEADERS = {
    "gateway": "[gateway]",
    "timeouts": "[timeouts]",
    "limits": "[limits]",
    "control": "[control]",
    "log": "[log]",
    "metrics": "[metrics]",
    "translation_log": "[translation_log]",
    "state": "[state]",
    "ha": "[ha]",
    "rule": "[[rule]]",
    "forward": "[[forward]]",
    "trigger": "[[trigger]]",
    "share": "[[share]]",
    "helper": "[helper.NAME]",
}


def model(section: str) -> type[BaseModel]:
    found = table_at((section,)) or table_at((section, 0))
    assert found is not None
    return found


def documented() -> dict[str, dict[str, list[str]]]:
    """Settings by section header: kind, default, purpose."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            rows = sections.setdefault(line[3:], {})
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            rows[cells[0].strip("` ")] = cells[1:]
    return {header: rows for header, rows in sections.items() if rows}


def everything() -> dict[str, Any]:
    """The example with all its "#:" in use."""
    return tomllib.loads(EXAMPLE.read_text(encoding="utf-8").replace("#: ", ""))


def tables(data: dict[str, Any], section: str) -> Iterator[dict[str, Any]]:
    value = data[section]
    if isinstance(value, list):
        yield from value
    elif section == "helper":
        yield from value.values()
    else:
        yield value


def test_every_section_has_its_header():
    assert list(HEADERS) == settings(Config)


@pytest.mark.parametrize("section", HEADERS)
def test_every_setting_is_documented_in_its_order_and_nothing_else_is(section: str):
    assert list(documented()[HEADERS[section]]) == settings(model(section))
    assert set(documented()) == set(HEADERS.values())


def test_every_setting_is_explained():
    for rows in documented().values():
        for setting, cells in rows.items():
            assert len(cells) == 3, setting
            assert all(cells), setting
            assert len(cells[2]) > 5, setting


@pytest.mark.parametrize("section", HEADERS)
def test_every_setting_is_in_the_example(section: str):
    shown = {key for table in tables(everything(), section) for key in table}
    assert shown == set(settings(model(section)))


def as_read(section: str, setting: str, value: object) -> object:
    """The value of one setting when it is written like this."""
    table = {**({"action": "pass"} if section == "rule" else {}), setting: value}
    if section == "forward":
        table = {"port": 1, "to": "10.0.0.2", setting: value}
    if section == "trigger":
        table = {"ports": 1, "opens": 2, setting: value}
    made = model(section).model_validate(table)
    if section == "share":
        table = {"name": "a", "public": "203.0.113.1", "inside": "10.0.0.0/24", setting: value}
    (name,) = (n for n, f in model(section).model_fields.items() if (f.alias or n) == setting)
    return getattr(made, name)


def default(section: str, setting: str) -> object:
    fields = model(section).model_fields
    return next(f.default for n, f in fields.items() if (f.alias or n) == setting)


LITERAL = [
    (section, setting, cells[1])
    for section, header in HEADERS.items()
    for setting, cells in documented()[header].items()
    if re.fullmatch(r"`[^`]*`", cells[1])
]


@pytest.mark.parametrize(("section", "setting", "cell"), LITERAL)
def test_a_documented_default_is_the_one_in_force(section: str, setting: str, cell: str):
    value = tomllib.loads(f"value = {cell.strip('`')}")["value"]
    assert as_read(section, setting, value) == default(section, setting)


def test_most_defaults_are_documented_as_values():
    assert len(LITERAL) > 25


@pytest.mark.parametrize(
    "section", ["timeouts", "limits", "control", "log", "metrics", "translation_log"]
)
def test_what_the_example_shows_as_a_default_is_the_default(section: str):
    for setting, value in everything()[section].items():
        if default(section, setting) is not None:
            assert as_read(section, setting, value) == default(section, setting), setting


def test_the_example_has_no_mistakes_and_nothing_doubtful():
    assert check(str(EXAMPLE), HERE).text() == "0 errors, 0 warnings"


def test_the_example_with_everything_in_use_lacks_only_the_file_that_it_names(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(EXAMPLE.read_text(encoding="utf-8").replace("#: ", ""))
    (problem,) = load(file).problems
    assert problem.message == f"{tmp_path / 'finger.py'} cannot be read: No such file or directory"
    (tmp_path / "finger.py").write_text(
        "from ipmasq.core.helper import Helper\n"
        'class Finger(Helper):\n    name, ports, orthogonal = "finger", (79,), True\n'
    )
    assert check(file, HERE).text() == "0 errors, 0 warnings"


def test_the_shortest_file_of_the_page_works(tmp_path: Path):
    text = PAGE.read_text(encoding="utf-8")
    (shortest,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "gateway.toml"
    file.write_text(shortest)
    assert check(file, HERE).text() == "0 errors, 0 warnings"
