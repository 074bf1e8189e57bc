"""The process of `ipmasq run`: the gateway, the sockets on which it is served, and what observes it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from ipmasq.control.control import Control
from ipmasq.control.server import Access, check_access, prepare, remove_dead
from ipmasq.control.socket_path import usual_socket, usual_view_socket
from ipmasq.gateway import logs
from ipmasq.gateway.file import File
from ipmasq.gateway.gateway import Gateway
from ipmasq.gateway.heir import OPTION, Succession
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.upgrade import Upgrade
from ipmasq.main.observers import Observers
from ipmasq.main.service.paths import program
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.started import note

VIEW_MODE = 0o660
"""The mode of the socket on which nothing can be changed: its group may use it."""

HANDLED = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2


class Program:
    def __init__(
        self, file: File, loop: Loop, plane: str | None, succession: Succession | None = None
    ) -> None:
        """Prepare everything, and with a `succession` wait until the predecessor has handed over. Raises SetupError,
        PlaneError, SocketError."""
        self._loop, self._file, self._succession = loop, file, succession
        heir = succession.prepare(file, plane) if succession else None
        if heir is None:
            self._gateway = Gateway(file, loop, plane=plane)
        access, viewing = accesses(file)
        served = [each for each in (access, viewing) if each is not None]
        if heir is None:
            for each in served:
                check_access(each)
        # Signals wait for the loop. An earlier one would end the process without undoing its changes to the host.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        if succession and heir:
            succession.ask(heir, [path for each in served for path in (each.draft, each.path)])
            access, viewing = prepare(access), viewing and prepare(viewing)
            heir = succession.open(heir)
            self._gateway = Gateway(file, loop, plane=plane, heir=heir)
        gateway = self._gateway
        self._upgrade = Upgrade(loop, gateway.lending, gateway.reloads, command())
        self._sockets = [str(each.path) for each in served]
        doctor = [str(program()), "doctor", "--json", "--socket", str(access.path), "--", file.path]
        self._control = Control(gateway, loop, access, viewing, doctor, self._upgrade)
        gateway.listeners.extend((self._control.observe, logs.Writer(gateway.engine.table.host_of)))
        self._observers = Observers(gateway, loop, file)
        self._upgrade.left = self._observers.leave
        self._upgrade.taken_back = self._take_back
        self._upgrade.succeeded = self._control.settle

    def run(self) -> None:
        """Run until the end. Raises PlaneError, SocketError, ObserverError; in that case nothing is left behind."""
        try:
            self._begin()
            note(self._file.path, self._sockets)
            try:
                if self._succession is None:
                    # The socket is opened last, so that whoever finds it finds a gateway that works.
                    self._control.open()
                self._loop.run()
            finally:
                self._end()
        finally:
            if not self._upgrade.has_left:
                self._control.close()
                self._observers.close()  # after the gateway, so that its last events are recorded
        if self._upgrade.has_left:
            self._observers.finish()
            raise SystemExit(self._upgrade.leave())

    def _begin(self) -> None:
        if self._succession is None:
            self._observers.open()
            self._gateway.start()
            return
        with self._succession.guarded():
            self._observers.open()
            self._gateway.open()
            lending = self._gateway.lending
            if trouble := lending.lost or lending.hindrance:
                raise PlaneError(trouble)
            self._control.open()
            self._succession.run()
        self._gateway.begin()
        self._succession.when_over(self._loop, self._gateway.offloading.start_late)

    def _end(self) -> None:
        self._control.close()
        self._upgrade.end()
        if not (self._upgrade.has_left or self._upgrade.is_lost):
            self._gateway.stop()

    def _take_back(self) -> None:
        self._observers.take_back()
        self._control.restore()
        for path in self._upgrade.sockets:
            remove_dead(path)


def accesses(file: File) -> tuple[Access, Access | None]:
    """Return the sockets of the configuration."""
    table, viewing = file.control, None
    access = Access(Path(table.socket or usual_socket()), table.mode, table.group)
    if table.view_group is not None:
        path = Path(table.view_socket or usual_view_socket())
        viewing = Access(path, VIEW_MODE, table.view_group)
    return access, viewing


def command() -> list[str]:
    """Return the command by which this process was run, without what a successor is told."""
    given = sys.argv[1:]
    if OPTION in given:
        at = given.index(OPTION)
        del given[at : at + 2]
    return [str(program()), *given]
