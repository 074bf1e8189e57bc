from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from typer.testing import CliRunner

from ipmasq.control.protocol import SOCKET_VARIABLE
from ipmasq.main.cli import app
from tests.control.running import Running, running

Done: TypeAlias = subprocess.CompletedProcess[str]
Ipmasq: TypeAlias = Callable[..., Done]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "control.sock") as gateway:
        yield gateway


@pytest.fixture
def ipmasq(tmp_path: Path) -> Ipmasq:
    """`ipmasq ...` in this process, on a terminal of 80 columns unless said otherwise."""

    def run(*arguments: object, columns: int = 80) -> Done:
        environment = {SOCKET_VARIABLE: str(tmp_path / "control.sock"), "COLUMNS": str(columns)}
        result = CliRunner().invoke(app, [str(each) for each in arguments], env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return subprocess.CompletedProcess(
            arguments, result.exit_code, result.stdout, result.stderr
        )

    return run


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """`ipmasq ...` as a process of its own."""

    def start(*arguments: object) -> subprocess.Popen[str]:
        environment = {**os.environ, SOCKET_VARIABLE: str(tmp_path / "control.sock")}
        environment.pop("PYTHONUNBUFFERED", None)  # Users have buffers.
        command = [sys.executable, "-m", "ipmasq", *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)

    return start
