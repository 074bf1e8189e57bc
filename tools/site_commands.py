"""The directive `ipmasq-commands` of the documentation site: what `ipmasq COMMAND --help` prints, for every command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from typer import Context
from typer.main import get_command

from ipmasq.main.cli import app

WIDTH = 78
"""What a terminal of 80 columns leaves for the help."""


def helps(
    command: Any, path: str = "ipmasq", parent: Context | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the name and the help of a command, and of those below it."""
    with Context(
        command, info_name=path.rpartition(" ")[2], parent=parent, terminal_width=WIDTH
    ) as context:
        yield path, command.get_help(context)
        for name, each in getattr(command, "commands", {}).items():
            if not each.hidden:
                yield from helps(each, f"{path} {name}", context)


class Commands(Directive):
    def run(self) -> list[nodes.Node]:
        made: list[nodes.Node] = []
        for name, text in helps(get_command(app)):
            section = nodes.section(ids=[name.replace(" ", "-")], names=[name])
            section += nodes.title(text=name)
            section += nodes.literal_block(text, text, language="text")
            made.append(section)
        return made


def setup(site: Sphinx) -> dict[str, bool]:
    site.add_directive("ipmasq-commands", Commands)
    return {"parallel_read_safe": True}
