"""Another program, or no program at all, where the control socket should be: nobody's fault but a fact."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipmasq.control import client
from ipmasq.control.client import Client, UnreachableError


@contextmanager
def another_program(path: Path, answer: bytes) -> Iterator[None]:
    """It says this to whoever comes, and hangs up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            link, _ = listener.accept()
            with link:
                link.recv(1 << 16)
                link.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        yield
        server.join(10)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"220 ready\r\n",
        b"[]\n",
        b"7\n",
        b'{"hello": 1}\n',
        b'{"row": 1}\n',
        b'{"error": "no"}\n',
        b'{"row": {}, "done": {}}\n',
        b"\xff\x00\n",
        b"[" * 100_000 + b"\n",
    ],
    ids=range(10),
)
def test_another_program_at_the_socket_is_named_as_such(tmp_path: Path, answer: bytes):
    path = tmp_path / "other.sock"
    raises = pytest.raises(UnreachableError)
    with another_program(path, answer), Client(str(path)) as asked, raises as refused:
        asked.ask("status")
    expected = f"{path} is not ipmasq's control socket: another program answers there"
    assert str(refused.value) == expected


def test_a_line_without_an_end_is_read_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "LONGEST_ANSWER", 1000)
    path = tmp_path / "other.sock"
    raises = pytest.raises(UnreachableError, match="another program answers there")
    with another_program(path, b"x" * 2000), Client(str(path)) as asked, raises:
        asked.ask("status")


def test_a_file_is_no_socket(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(UnreachableError, match="it is no socket at all"):
        Client(str(path))


def test_a_socket_of_another_type_is_told_apart(tmp_path: Path):
    path = tmp_path / "datagrams.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(UnreachableError, match="it is one of another type"):
            Client(str(path))
