"""The commands, and where each is. A command's module is imported when the command is used or described:
importing all of them takes longer than most commands do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command

from ipmasq.front.exits import Group

COMMANDS = {
    "help": "ipmasq.main.help:show_help",
    "setup": "ipmasq.setup.command:setup",
    "run": "ipmasq.main.run:run",
    "check": "ipmasq.main.offline:check",
    "doctor": "ipmasq.doctor.command:doctor",
    "reload": "ipmasq.front.change:reload",
    "status": "ipmasq.front.inspect:status",
    "show": "ipmasq.front.show:app",
    "explain": "ipmasq.front.inspect:explain",
    "watch": "ipmasq.front.watch:watch",
    "top": "ipmasq.front.top.command:top",
    "web": "ipmasq.front.web.command:web",
    "forward": "ipmasq.front.change:forward",
    "helper": "ipmasq.main.authoring.commands:app",
    "timeouts": "ipmasq.front.change:timeouts",
    "close": "ipmasq.front.change:close",
    "ha": "ipmasq.front.availability:app",
    "state": "ipmasq.main.state.commands:app",
    "replay": "ipmasq.main.replay:replay",
    "config": "ipmasq.main.offline:configuration",
}
"""By name: the module, and in it a function or, for a group of commands, a `typer.Typer`."""

if sys.platform == "linux":
    COMMANDS["install-service"] = "ipmasq.main.service.command:install_service"
    COMMANDS["upgrade"] = "ipmasq.front.upgrade:upgrade"
    COMMANDS["stop"] = "ipmasq.main.stop:stop"
    COMMANDS["undo"] = "ipmasq.main.undo:undo"
    COMMANDS["lab"] = "ipmasq.lab.cli:app"  # it needs network namespaces


class LazyGroup(Group):
    """The group of all commands, which makes a command when it is looked up."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.commands: Any = _Loaded()


class _Loaded(Mapping[str, Any]):
    """The commands by name, each made when it is first looked up."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make(name, COMMANDS[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _make(name: str, where: str) -> Any:
    module, _, attribute = where.partition(":")
    found = getattr(import_module(module), attribute)
    around = typer.Typer(add_completion=False, rich_markup_mode=None)
    around.callback()(lambda: None)
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name)
    else:
        around.command(name)(found)
    group: Any = get_command(around)
    return group.commands[name]
