"""The documentation names every command, every exit code, every request and every kind of error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from ipmasq.control.arguments import Arguments
from ipmasq.control.control import REQUESTS
from ipmasq.control.protocol import Kind
from ipmasq.front.exits import Code
from ipmasq.main.cli import app

DOCS = Path(__file__).parent.parent.parent / "docs"
COMMAND_LINE = (DOCS / "command-line.md").read_text(encoding="utf-8")
CONTROL = (DOCS / "control.md").read_text(encoding="utf-8")


def commands(group: Any, path: str = "ipmasq") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str):
    assert re.search(rf"^\| `{command}[ `]", COMMAND_LINE, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example_that_begins_with_it(command: str):
    assert re.search(rf"Examples?:\n( +.*\n)*? +.*{command}\b", COMMANDS[command].help)


def test_no_command_is_documented_that_does_not_exist():
    documented = re.findall(r"^\| `(ipmasq [a-z]+(?: [a-z]+)?)", COMMAND_LINE, re.M)
    assert [
        text for text in documented if not any(name.startswith(text) for name in COMMANDS)
    ] == []


def test_every_exit_code_is_documented():
    assert re.findall(r"^\| (\d+) \|", COMMAND_LINE, re.M) == [str(int(code)) for code in Code]


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_is_documented_with_its_arguments(name: str):
    row = re.search(rf"^\| `{name}` \|([^|]*)\|", CONTROL, re.M)
    assert row
    model: type[Arguments] = REQUESTS[name][0]
    assert set(re.findall(r"`(\w+)`", row[1])) == set(model.model_fields)


def test_every_kind_of_error_is_documented():
    errors = CONTROL.partition("## Errors")[2]
    assert re.findall(r"^\| `(\w+)` \|", errors, re.M) == [kind.value for kind in Kind]
