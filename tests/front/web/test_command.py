"""`ipmasq web` as a process."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.control.running import Running

Start: TypeAlias = Callable[..., subprocess.Popen[str]]


def test_the_pages_answer_once_their_address_was_said(program: Start, gateway: Running):
    with program("web", "--listen", "127.0.0.1:0") as process:
        assert process.stdout
        address = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{address}api/view/status", timeout=30) as answer:
            assert b'"version":"test"' in answer.read()
        process.terminate()


def test_an_address_in_use_is_said_in_one_sentence(program: Start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        out, err = (process := program("web", "--listen", taken)).communicate(timeout=30)
    assert process.returncode == 1
    assert (out, err) == ("", f"ipmasq: cannot serve {taken}: Address already in use\n")


@pytest.mark.parametrize("content", [b"too short", b"\xd0\xff" * 20, b""])
def test_a_file_without_a_token_is_named_in_one_sentence(
    program: Start, tmp_path: Path, content: bytes
):
    (file := tmp_path / "web.token").write_bytes(content)
    process = program("web", "--listen", "127.0.0.1:0", "--token-file", file)
    said = f"ipmasq: {file}: a token has at least 16 characters of ASCII\n"
    assert (process.communicate(timeout=30), process.returncode) == (("", said), 2)


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_package_that_is_missing_is_named_in_one_sentence(package: str):
    script = f"import sys; sys.modules[{package!r}] = None; sys.argv = ['ipmasq', 'web']\n"
    script += "from ipmasq.main.cli import main; main()"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"the Python package {package}, which this command needs, is not" in done.stderr
