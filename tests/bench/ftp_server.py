"""An FTP server that gives bytes to one client at a time: `python -m tests.bench.ftp_server ADDRESS BYTES PORT...`."""

from __future__ import annotations

import selectors
import socket
import sys

CHUNK = bytes(1 << 20)


class Session:
    def __init__(self, control: socket.socket, size: int) -> None:
        self._control, self._size = control, size
        self._listening: socket.socket | None = None
        self._client = ("", 0)

    def serve(self) -> None:
        self._say("220 ready")
        for line in self._control.makefile("r"):
            match line.split():
                case ["PORT", where]:
                    self._port(where)
                case ["PASV"]:
                    self._pasv()
                case ["RETR", _]:
                    self._retr()
                case _:
                    self._say("230 done")

    def _port(self, where: str) -> None:
        *address, high, low = where.split(",")
        self._client = ".".join(address), int(high) << 8 | int(low)
        self._say("200 PORT command successful.")

    def _pasv(self) -> None:
        self._listening = socket.create_server((self._control.getsockname()[0], 0))
        address, port = self._listening.getsockname()
        self._say(f"227 ({address.replace('.', ',')},{port >> 8},{port & 0xFF})")

    def _retr(self) -> None:
        self._say("150 here it comes")
        with self._data() as data:
            for start in range(0, self._size, len(CHUNK)):
                data.sendall(CHUNK[: self._size - start])
        self._say("226 Transfer complete.")

    def _data(self) -> socket.socket:
        if self._listening is None:
            return socket.create_connection(self._client)
        with self._listening as listening:
            self._listening = None
            return listening.accept()[0]

    def _say(self, line: str) -> None:
        self._control.sendall(f"{line}\r\n".encode())


def main(address: str, size: str, *ports: str) -> None:
    with selectors.DefaultSelector() as selector:
        for port in ports:
            selector.register(socket.create_server((address, int(port))), selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                with key.fileobj.accept()[0] as control:
                    Session(control, int(size)).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
