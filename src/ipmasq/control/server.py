"""The Unix socket. It is served from the gateway's loop, in slices, so that no client delays packets.

Clients have one slice of one answer each in turn; between two slices the loop handles packets. What is kept
for a client is bounded, and so is the number of clients, in total and per user; some connections are reserved
for the gateway's own user. When all are in use, a client of the user with the most connections is closed, the
one that was inactive for longest. So nobody can lock out the operator, nor one member of the group another.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from collections import Counter, deque
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ipmasq.control.answer import Answerer
from ipmasq.control.connection import REQUEST_TIME, Connection
from ipmasq.control.protocol import Kind, RequestError
from ipmasq.control.socket_path import usual_socket
from ipmasq.gateway.loop import Loop

MOST_CLIENTS = 64

KEPT_FREE = 8
"""Of these, connections reserved for the gateway's own user (root)."""

MOST_PER_USER = 16
"""Of these, the most for one user, unless it is the gateway's own."""

PATIENCE = 5.0
"""Seconds of inactivity after which a client may be closed for another one."""

TICK = 0.05
"""Seconds until an answer goes on that waits for the next tick."""

SWEEP = 1.0
"""Seconds between two checks for clients that have gone."""


class SocketError(Exception):
    """The socket cannot be opened. The message is for the operator."""


@dataclass(frozen=True)
class Access:
    """The path of the socket, and who may use it: by default root alone."""

    path: Path = field(default_factory=lambda: Path(usual_socket()))
    mode: int = 0o600
    group: str | None = None
    """Name or number of the owning group, if it is not root's; combine it with a `mode` such as 0o660."""
    prepared: socket.socket | None = None
    """A socket that `prepare` has made, which takes this path when it is opened."""

    @property
    def draft(self) -> Path:
        """Where a prepared socket is until then."""
        return self.path.with_name(f"{self.path.name}.new")


def check_access(access: Access) -> None:
    """Raise SocketError if `open` would fail, as far as that can be known in advance."""
    with _explained(access.path):
        access.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _clear(access.path)
        if access.group is not None:
            _group(access.group)


def prepare(access: Access) -> Access:
    """Make the socket beside that of another process, which serves the path as long as this one does not open it. Raises
    SocketError."""
    with _explained(access.path):
        access.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _clear(access.draft)
    return replace(access, prepared=_listen(access, access.draft))


class Server:
    def __init__(self, loop: Loop, answerer: Answerer, access: Access) -> None:
        self._loop = loop
        self._answerer = answerer
        self._access = access
        self._listener: socket.socket | None = None
        self._inode: tuple[int, int] | None = None
        self._clients: dict[int, Connection] = {}
        self._ready: deque[Connection] = deque()
        """Connections that have work, each once."""
        self._is_turn_due = False
        self._is_tick_due = False

    @property
    def clients(self) -> int:
        return len(self._clients)

    def open(self) -> None:
        """Open the socket. Raises SocketError."""
        self._open()
        self._loop.later(SWEEP, self._sweep)

    def restore(self) -> None:
        """Serve the path again if a successor has taken it. Raises SocketError."""
        if self._listener is not None and _identity(self._access.path) != self._inode:
            self._loop.unwatch(self._listener.fileno())
            self._listener.close()
            self._access = replace(self._access, prepared=None)
            self._open()

    def _open(self) -> None:
        path, listener = self._access.path, self._access.prepared
        with _explained(path):
            if listener is not None:
                self._access.draft.rename(path)
            else:
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                _clear(path)
        self._listener = listener = listener or _listen(self._access, path)
        self._inode = _identity(path)
        self._loop.watch(listener.fileno(), self._accept)

    def close(self) -> None:
        """Close every connection and remove the socket, if it is still this server's. May be called twice."""
        if self._listener is None:
            return
        self._loop.unwatch(self._listener.fileno())
        self._listener.close()
        self._listener = None
        for client in list(self._clients.values()):
            self._drop(client)
        if _identity(self._access.path) == self._inode:
            with suppress(OSError):
                self._access.path.unlink()

    def wake(self) -> None:
        """Continue the answers that wait for an event."""
        for client in self._clients.values():
            if client.waiting:
                client.waiting = False
                self._settle(client)

    def settle(self) -> None:
        """Continue the answers that wait for the next tick now, and send what is there: no round of the loop comes any
        more."""
        for client in list(self._clients.values()):
            client.ticking = False
            if client.has_work:
                client.work(self._loop.clock())

    # -- the loop's callbacks

    def _accept(self) -> None:
        """Accept one connection per round."""
        assert self._listener is not None
        try:
            link, _ = self._listener.accept()
        except OSError:  # the client has gone, or no descriptor is free
            return
        client = Connection(link, self._answerer, self._loop.clock())
        if not self._has_room(client.peer.user):
            client.refuse(RequestError(Kind.BUSY, "too many clients are connected already"))
            return
        self._clients[client.number] = client
        self._settle(client)

    def _read(self, client: Connection) -> None:
        client.read(self._loop.clock())
        self._settle(client)

    def _write(self, client: Connection) -> None:
        client.write(self._loop.clock())
        self._settle(client)

    def _turn(self) -> None:
        """Do one slice for one client; the next client's turn comes after the packets."""
        self._is_turn_due = False
        client = self._ready.popleft()
        try:
            if not client.gone:
                client.work(self._loop.clock())
                self._settle(client)
        finally:
            self._plan_turn()

    def _plan_turn(self) -> None:
        if self._ready and not self._is_turn_due:
            self._is_turn_due = True
            self._loop.later(0, self._turn)

    def _plan_tick(self) -> None:
        if not self._is_tick_due:
            self._is_tick_due = True
            self._loop.later(TICK, self._tick)

    def _tick(self) -> None:
        """Continue the answers that wait for it, if their clients have read all."""
        self._is_tick_due = False
        for client in [each for each in self._clients.values() if each.ticking]:
            client.ticking = not client.has_read_all()
            self._settle(client)

    def _sweep(self) -> None:
        if self._listener is None:
            return
        self._loop.later(SWEEP, self._sweep)
        for client in list(self._clients.values()):
            if client.hung_up():
                self._drop(client)
            elif client.is_late(self._loop.clock()):
                text = f"a request must be complete within {REQUEST_TIME:.0f} s"
                self._forget(client)
                client.refuse(RequestError(Kind.MALFORMED, text))

    # -- detail

    def _has_room(self, user: int) -> bool:
        """Return whether one more connection of this user can be accepted, perhaps by closing another one."""
        own = user == os.geteuid()
        held = Counter(each.peer.user for each in self._clients.values())
        if not own and held[user] >= MOST_PER_USER:
            return self._make_room({user}, late=True)
        if len(self._clients) < MOST_CLIENTS - (0 if own else KEPT_FREE):
            return True
        most = max(held.values())
        biggest = {each for each, count in held.items() if count == most}
        if held[user] + 1 < most and self._make_room(biggest, late=False):
            return True
        return self._make_room(biggest, late=True) or self._make_room(set(held), late=True)

    def _make_room(self, users: Container[int], late: bool) -> bool:
        """Close a client of one of these users: the one that was inactive for longest. `late`: only one that
        has been inactive for some time."""
        before = self._loop.clock() - PATIENCE
        theirs = [each for each in self._clients.values() if each.peer.user in users]
        if late:
            theirs = [each for each in theirs if each.is_awaited and each.last_active < before]
        if theirs:
            self._drop(min(theirs, key=lambda client: (not client.is_awaited, client.last_active)))
        return bool(theirs)

    def _settle(self, client: Connection) -> None:
        """Register for the events that the client needs now."""
        if client.gone:
            self._drop(client)
            return
        wanted = client.wants_to_read, client.wants_to_write
        if wanted != client.watched:
            self._watch(client, *wanted)
        if client.ticking:
            self._plan_tick()
        if client.has_work and client not in self._ready:
            self._ready.append(client)
            self._plan_turn()

    def _watch(self, client: Connection, reading: bool, writing: bool) -> None:
        client.watched = reading, writing
        if not reading:
            self._loop.unwatch(client.number)
        else:
            self._loop.watch(client.number, lambda: self._read(client))
            self._loop.unwatch_write(client.number)
        if writing:
            self._loop.watch_write(client.number, lambda: self._write(client))

    def _drop(self, client: Connection) -> None:
        self._forget(client)
        client.close()

    def _forget(self, client: Connection) -> None:
        if self._clients.get(client.number) is client:
            del self._clients[client.number]
            self._loop.unwatch(client.number)


def remove_dead(path: Path) -> None:
    """Remove the socket of a process that was killed, if there is one."""
    with suppress(OSError):
        _clear(path)


def _clear(path: Path) -> None:
    """Remove a socket that a crash left behind. Raises OSError if another process serves it, or it is no
    socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "there is something else of that name")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # it may be this process's own, which accepts nobody meanwhile
        try:
            with suppress(BlockingIOError):
                probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            text = "another gateway serves it, which is running already in this network namespace or shares its files"
            raise OSError(errno.EADDRINUSE, text)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors about the socket into SocketError."""
    try:
        yield
    except (OSError, KeyError) as error:
        reason = f"there is no group {error}"
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            reason += " (the gateway needs root, or a control.socket where this user may write)"
        raise SocketError(f"cannot serve the control socket {path}: {reason}") from None


def _listen(access: Access, path: Path) -> socket.socket:
    """Return a listening socket at a path where nothing is. Raises SocketError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _explained(access.path):
            _bind(listener, access, path)
    except SocketError:
        listener.close()
        raise
    listener.listen(MOST_CLIENTS)
    listener.setblocking(False)
    return listener


def _bind(listener: socket.socket, access: Access, path: Path) -> None:
    """Bind so that nobody but root can connect before the mode is right."""
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    try:
        if access.group is not None:
            os.chown(path, -1, _group(access.group))
        os.chmod(path, access.mode)
    except (OSError, KeyError):
        path.unlink()
        raise


def _group(name: str) -> int:
    """Return the number of a group. Raises KeyError."""
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise KeyError(name) from None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
