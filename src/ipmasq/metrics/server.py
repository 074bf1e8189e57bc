"""Serves the metrics from the gateway's loop: one short step at a time, so that no scraper delays packets.

Whatever a scraper does is bounded: how many are connected, what is kept of each, and for how long.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

from ipmasq.gateway.loop import Loop, Timer
from ipmasq.metrics import request
from ipmasq.metrics.document import OPENMETRICS, TEXT, Document, wanted
from ipmasq.metrics.source import Steps
from ipmasq.wire.addresses import Endpoint, to_text

MOST = 16
"""Scrapers that are connected at the same time. For one more, the one that came first is closed."""

LONGEST = 10.0
"""Seconds that a scraper may take from its connection to the last byte of its answer."""


class MetricsError(Exception):
    """The metrics cannot be served. The message is for the operator."""


class Scraper:
    """One connection: a request, and its answer."""

    def __init__(self, link: socket.socket) -> None:
        link.setblocking(False)
        self.link = link
        self.number = link.fileno()
        self.received = bytearray()
        self.unsent = b""
        self.asked: request.Request | None = None
        self.timer: Timer | None = None

    def read(self) -> bool:
        """Receive what there is. Return whether there may be more."""
        try:
            chunk = self.link.recv(request.LONGEST)
        except (BlockingIOError, InterruptedError):
            return True
        self.received += chunk
        return bool(chunk)


class Server:
    """`steps` begins to collect the metrics; `refused` is called when a scraper was closed for another one."""

    def __init__(
        self, loop: Loop, steps: Callable[[], Steps], refused: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._refused = refused
        self._documents = {
            format: Document(format, steps, loop.clock) for format in (TEXT, OPENMETRICS)
        }
        self._listener: socket.socket | None = None
        self._path: str | None = None
        self._inode: tuple[int, int] | None = None
        """Of the path: it may be another process's by now."""
        self._scrapers: dict[int, Scraper] = {}
        """By descriptor, in the order in which they came."""
        self._is_turn_due = False

    @property
    def scrapers(self) -> int:
        return len(self._scrapers)

    def open(self, where: Endpoint | str) -> None:
        """Listen at an endpoint, or at the path of a Unix socket. Raises MetricsError."""
        try:
            listener = _unix(where) if isinstance(where, str) else _tcp(where)
        except OSError as error:
            reason = error.strerror or str(error)
            raise MetricsError(f"cannot serve the metrics at {where}: {reason}") from None
        listener.setblocking(False)
        self._listener, self._path = listener, where if isinstance(where, str) else None
        self._inode = _inode(where)
        self._loop.watch(listener.fileno(), self._accept)

    @property
    def has_its_path(self) -> bool:
        """Whether the path of its Unix socket, if any, still leads to it."""
        return self._path is None or _inode(self._path) == self._inode

    def close(self) -> None:
        """Close every connection. May be called twice."""
        if self._listener is None:
            return
        self._loop.unwatch(self._listener.fileno())
        self._listener.close()
        self._listener = None
        for scraper in list(self._scrapers.values()):
            self._drop(scraper)
        if self._path is not None and self.has_its_path:
            with suppress(OSError):
                os.unlink(self._path)

    # -- the loop's callbacks

    def _accept(self) -> None:
        """Accept one connection per round."""
        assert self._listener is not None
        try:
            link, _ = self._listener.accept()
        except OSError:  # the scraper has gone, or no descriptor is free
            return
        if len(self._scrapers) >= MOST:
            self._refused()
            self._drop(next(iter(self._scrapers.values())))
        scraper = Scraper(link)
        self._scrapers[scraper.number] = scraper
        scraper.timer = self._loop.later(LONGEST, lambda: self._drop(scraper))
        self._loop.watch(scraper.number, lambda: self._read(scraper))

    def _read(self, scraper: Scraper) -> None:
        try:
            if not scraper.read():
                self._drop(scraper)
                return
            scraper.asked = request.read(bytes(scraper.received))
        except OSError:
            self._drop(scraper)
        except request.BadRequestError as error:
            self._answer(scraper, request.refusal(error.status))
        else:
            if scraper.asked is not None:
                # Whatever else it sends is not read, and does not wake the loop.
                self._loop.unwatch(scraper.number)
                self._plan_turn()

    def _plan_turn(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            self._loop.later(0, self._turn)

    def _turn(self) -> None:
        """Answer those whose document is there, or do one step of a document."""
        self._is_turn_due = False
        waiting = [each for each in self._scrapers.values() if each.asked and not each.unsent]
        if not waiting:
            return
        asked = waiting[0].asked
        assert asked is not None
        document = self._documents[wanted(asked.accept)]
        try:
            ready = document.is_fresh or document.work()
        except Exception:
            for scraper in waiting:
                self._answer(scraper, request.refusal(HTTPStatus.INTERNAL_SERVER_ERROR))
            raise
        if ready:
            content, kind = document.content, document.format.content_type
            body = asked.wants_body
            self._answer(waiting[0], request.answer(HTTPStatus.OK, kind, content, body))
        self._plan_turn()

    def _answer(self, scraper: Scraper, answer: bytes) -> None:
        scraper.unsent = answer
        self._loop.unwatch(scraper.number)
        self._loop.watch_write(scraper.number, lambda: self._write(scraper))
        self._write(scraper)

    def _write(self, scraper: Scraper) -> None:
        try:
            sent = scraper.link.send(scraper.unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(scraper)
            return
        scraper.unsent = scraper.unsent[sent:]
        if not scraper.unsent:
            with suppress(OSError):
                scraper.link.shutdown(socket.SHUT_WR)
            self._drop(scraper)

    def _drop(self, scraper: Scraper) -> None:
        if self._scrapers.get(scraper.number) is not scraper:
            return
        del self._scrapers[scraper.number]
        if scraper.timer is not None:
            scraper.timer.cancel()
        self._loop.unwatch(scraper.number)
        scraper.link.close()


def _tcp(where: Endpoint) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A successor, of the same user, listens already while this process still does.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((to_text(where.address), where.port))
        listener.listen(MOST)
    except BaseException:
        listener.close()
        raise
    return listener


def _inode(where: Endpoint | str) -> tuple[int, int] | None:
    if isinstance(where, str):
        with suppress(OSError):
            found = os.lstat(where)
            return found.st_dev, found.st_ino
    return None


def _unix(path: str) -> socket.socket:
    """Every user of the host may connect, as to a port of the loopback interface."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)  # a crash has left it behind
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(MOST)
    except BaseException:
        listener.close()
        raise
    return listener
