"""One client of the socket. Everything about it is bounded, whatever it does."""

from __future__ import annotations

import fcntl
import logging
import select
import socket
import struct
import termios
from contextlib import suppress

from ipmasq.control.answer import Answer, Answerer, Pause, Peer
from ipmasq.control.protocol import (
    MAX_REQUEST,
    Kind,
    RequestError,
    error_line,
    line,
    read_request,
)

SLICE = 32
"""Steps of an answer at a time, before packets have their turn (30 us each)."""

ENOUGH = 1 << 16
"""When so many bytes wait for the client, no more are produced until it has read some."""

REQUEST_TIME = 10.0
"""Seconds from a request's first byte to its last."""

log = logging.getLogger(__name__)


class Connection:
    """Reads requests and answers them one after the other, in slices. Never blocks."""

    def __init__(self, link: socket.socket, answerer: Answerer, now: float) -> None:
        link.setblocking(False)
        self.link = link
        self.number = link.fileno()
        self.peer = Peer(*_CREDENTIALS.unpack(_credentials(link)))
        self.last_active = now
        """When the client was last active: began a request, ended one, or read its answer. A single byte of a
        request does not count, or a request that never ends would keep the client active."""
        self.waiting = False
        """Whether its answer waits for an event."""
        self.ticking = False
        """Whether its answer waits for the next tick."""
        self.gone = False
        self.watched = False, False
        """For reading and writing: what the loop has registered."""
        self._answerer = answerer
        self._answer: Answer | None = None
        self._rows = 0
        self._in = bytearray()
        self._out = bytearray()
        self._said_all = False
        """Whether the client has closed its sending direction; it may still read (`printf ... | socat -
        UNIX:...`)."""
        self._last = False
        """Whether to close when the rest is sent."""

    # -- what the server asks

    @property
    def wants_to_read(self) -> bool:
        return not (self.gone or self._said_all or self._last) and len(self._in) <= MAX_REQUEST

    @property
    def wants_to_write(self) -> bool:
        return not self.gone and len(self._out) > 0

    @property
    def has_work(self) -> bool:
        """Return whether `work` would make progress now."""
        if self.gone or self._last or len(self._out) >= ENOUGH:
            return False
        if self._answer is not None:
            return not (self.waiting or self.ticking)
        return b"\n" in self._in or len(self._in) > MAX_REQUEST

    @property
    def is_awaited(self) -> bool:
        """Return whether the client is expected to act next: to send a request, or to read its answer."""
        return self.wants_to_write or self._answer is None

    def has_read_all(self) -> bool:
        """Return whether the client has read what it was sent, as far as the kernel knows."""
        unread = fcntl.ioctl(self.link, termios.TIOCOUTQ, bytes(_INT.size))
        return not self._out and not _INT.unpack(unread)[0]

    def is_late(self, now: float) -> bool:
        """Return whether it has begun a request and has not ended it in time."""
        unfinished = self._answer is None and self._in and b"\n" not in self._in
        return bool(unfinished) and now - self.last_active > REQUEST_TIME

    def hung_up(self) -> bool:
        """Return whether the client has closed both directions."""
        poll = select.poll()
        poll.register(self.link, 0)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

    # -- moves

    def read(self, now: float) -> None:
        try:
            chunk = self.link.recv(MAX_REQUEST)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if not self._in or b"\n" in chunk or not chunk:
            self.last_active = now
        if chunk:
            self._in += chunk
        elif self.hung_up():
            self.close()
        else:
            self._said_all = True
            self._close_if_done()

    def write(self, now: float) -> None:
        """Send what waits, as far as the client accepts it."""
        try:
            sent = self.link.send(self._out)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        self.last_active = now
        del self._out[:sent]
        self._close_if_done()

    def work(self, now: float) -> None:
        """Do one slice: begin or continue an answer, then send what there is."""
        try:
            if self._answer is None:
                self._begin()
            else:
                self._go_on(self._answer)
        except RequestError as error:
            self._end(error_line(error))
            self._last = self._last or error.kind in (Kind.MALFORMED, Kind.BUSY)
        except Exception as error:
            said = {"kind": ("a control request failed", type(error))}
            log.exception(
                "a control request failed: %s: %s", type(error).__name__, error, extra=said
            )
            self._end(error_line(RequestError(Kind.FAILED, "the gateway failed to answer")))
        if self._out:
            self.write(now)
        self._close_if_done()

    def refuse(self, error: RequestError) -> None:
        """Send this error and nothing else, and close without waiting."""
        with suppress(OSError):
            self.link.send(error_line(error))
        self.close()

    def close(self) -> None:
        if self.gone:
            return
        self.gone = True
        if self._answer is not None:
            self._answer.close()
            self._answer = None
        self.link.close()

    # -- detail

    def _begin(self) -> None:
        end = self._in.find(b"\n", 0, MAX_REQUEST)
        if end < 0:
            raise RequestError(Kind.MALFORMED, f"a request has at most {MAX_REQUEST} bytes")
        request = bytes(self._in[:end])
        del self._in[: end + 1]
        if request.strip():
            name, arguments = read_request(request)
            self._rows = 0
            self._answer = self._answerer(name, arguments, self.peer)

    def _go_on(self, answer: Answer) -> None:
        for _ in range(SLICE):
            try:
                step = next(answer)
            except StopIteration as end:
                done = end.value if end.value is not None else {"rows": self._rows}
                self._end(line({"done": done}))
                return
            if step is Pause.WAITING:
                self.waiting = True
                return
            if step is Pause.TICK:
                self.ticking = True
                return
            if not isinstance(step, Pause):
                self._rows += 1
                self._out += line({"row": step})
                if len(self._out) >= ENOUGH:
                    return

    def _end(self, last: bytes) -> None:
        self._answer = None
        self._out += last

    def _close_if_done(self) -> None:
        if self._out or self._answer is not None or self.gone:
            return
        if self._last or (self._said_all and not self.has_work):
            self.close()


_INT = struct.Struct("i")
_CREDENTIALS = struct.Struct("3i")  # struct ucred, unix(7): pid, uid, gid


def _credentials(link: socket.socket) -> bytes:
    return link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
