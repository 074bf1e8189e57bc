"""Asking a running gateway. Needs nothing but the standard library and the socket.

with Client() as gateway:
    for flow in gateway.rows("flows", helper="ftp"):
        print(flow["inside"]["address"])
    gateway.ask("close", flow=17)
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
from collections.abc import Generator, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

from ipmasq.control.protocol import (
    SOCKET_VARIABLE,
    VERSION,
    Kind,
    RequestError,
    Row,
    line,
)
from ipmasq.control.socket_path import usual_socket

CHUNK = 1 << 16

LONGEST_ANSWER = 1 << 23
"""The most bytes of one line of an answer. A gateway's lines are far shorter."""

PATIENCE = 60.0
"""Seconds that a gateway may take for its next row; `watch` waits forever."""


class UnreachableError(Exception):
    """No gateway answers at the socket. The message is for the operator."""


def default_socket() -> str:
    """Return the default socket: the environment's `IPMASQ_SOCKET`, or the usual path in this network
    namespace."""
    return os.environ.get(SOCKET_VARIABLE) or usual_socket()


class Client:
    """One connection. Every method raises UnreachableError and RequestError."""

    def __init__(self, path: str | None = None, patience: float = PATIENCE) -> None:
        """`patience` is the number of seconds to wait for the next row."""
        self.path = path or default_socket()
        self._patience = patience
        self._connect()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._link.close()

    def _connect(self) -> None:
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._link.settimeout(self._patience)
        try:
            self._link.connect(self.path)
        except (OSError, ValueError) as error:
            self._link.close()
            raise UnreachableError(_unreachable(self.path, error)) from None
        self._lines = self._read_lines()
        self._in_an_answer = False

    def ask(self, request: str, **arguments: object) -> Row:
        """Send a request and return what `done` says; rows are discarded."""
        answer = self.answer(request, **arguments)
        while True:
            try:
                next(answer)
            except StopIteration as end:
                return dict(end.value)

    def rows(self, request: str, **arguments: object) -> Iterator[Row]:
        """Yield the rows as they come. The next request discards the rest."""
        return self.answer(request, **arguments)

    def watch(self, patience: float | None = None, **arguments: object) -> Iterator[Row]:
        """Yield events as they happen, until the gateway stops, or none has come for `patience` seconds."""
        answer = self.answer("watch", **arguments)
        self._link.settimeout(patience)
        return _until_it_stops(answer)

    def answer(self, request: str, **arguments: object) -> Generator[Row, None, Row]:
        """Send the request and return a generator of the rows, which returns what `done` says. Arguments that
        are None are left out."""
        if self._in_an_answer:
            self.close()
            self._connect()
        self._in_an_answer = True
        given = {name: value for name, value in arguments.items() if value is not None}
        self._send(line({"ipmasq": VERSION, "request": request, "arguments": given}))
        return self._messages()

    def _messages(self) -> Generator[Row, None, Row]:
        for text in self._lines:
            kind, said = self._read(text)
            if kind == "row":
                yield said
                continue
            self._in_an_answer = False
            if kind == "error":
                raise _error(said)
            return said
        raise UnreachableError(f"the gateway at {self.path} closed the connection")

    def _read(self, text: bytes) -> tuple[str, Row]:
        """Return the kind of an answer's line, and its content."""
        with suppress(ValueError, RecursionError):
            message = json.loads(text)
            if isinstance(message, dict) and len(message) == 1:
                ((kind, said),) = message.items()
                if kind in ("row", "done", "error") and isinstance(said, dict):
                    return kind, said
        raise self._foreign()

    def _foreign(self) -> UnreachableError:
        text = f"{self.path} is not ipmasq's control socket: another program answers there"
        return UnreachableError(text)

    def _send(self, request: bytes) -> None:
        try:
            self._link.sendall(request)
        except BrokenPipeError:
            return  # the gateway may have said why: read that
        except OSError as error:
            raise UnreachableError(_unreachable(self.path, error)) from None

    def _read_lines(self) -> Iterator[bytes]:
        rest = b""
        while True:
            try:
                chunk = self._link.recv(CHUNK)
            except TimeoutError:
                text = f"the gateway at {self.path} does not answer"
                raise UnreachableError(text) from None
            except OSError as error:
                raise UnreachableError(_unreachable(self.path, error)) from None
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > LONGEST_ANSWER:
                raise self._foreign()


def _until_it_stops(answer: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from answer
    except UnreachableError:
        return


def _error(said: dict[str, Any]) -> RequestError:
    kind = str(said.get("kind"))
    known = Kind(kind) if kind in list(Kind) else Kind.FAILED
    return RequestError(known, str(said.get("message")), tuple(said.get("details", ())))


def _unreachable(path: str, error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return f"no gateway runs here: there is no control socket {path}"
        case ConnectionRefusedError() if not _is_socket(path):
            return f"{path} is not ipmasq's control socket: it is no socket at all"
        case OSError(errno=errno.EPROTOTYPE):
            return f"{path} is not ipmasq's control socket: it is one of another type"
        case ConnectionRefusedError():
            return f"no gateway runs here: nobody serves the control socket {path}"
        case PermissionError():
            return f"you may not use the control socket {path}: ask as root, or as one of its group"
        case OSError(strerror=str(reason)):
            return f"cannot use the control socket {path}: {reason}"
    return f"cannot use the control socket {path}: {error}"


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except (OSError, ValueError):
        return True  # the process is gone, or not visible: assume the best
