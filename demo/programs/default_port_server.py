"""A server as in 1971: it opens data connections from its own data port to the client's control port
(RFC 959, 3.2). vsftpd, like every server of today, wants PORT or PASV first. Stands alone.

Writes a log in vsftpd's form, so that both are read alike.
"""

import argparse
import errno
import os
import socket
import socketserver
import time
from pathlib import Path


class Session(socketserver.StreamRequestHandler):
    server: "Server"

    def handle(self) -> None:
        self.directory = self.server.root
        self._say("220 ready")
        for raw in self.rfile:
            line = raw.decode("latin-1").rstrip()
            self._log(line)
            verb, _, argument = line.partition(" ")
            action = getattr(self, f"do_{verb.lower()}", None)
            if action is None:
                self._say("502 not implemented")
            else:
                action(argument)

    def do_user(self, _: str) -> None:
        self._say("230 welcome")

    def do_cwd(self, name: str) -> None:
        self.directory = self.server.root / Path(name).name
        self._say("250 there")

    def do_stor(self, name: str) -> None:
        with self._data() as data, data.makefile("rb") as stream:
            (self.directory / Path(name).name).write_bytes(stream.read())
        self._say("226 stored")

    def do_list(self, _: str) -> None:
        with self._data() as data:
            data.sendall("".join(f"{name}\r\n" for name in os.listdir(self.directory)).encode())
        self._say("226 listed")

    def do_retr(self, name: str) -> None:
        with self._data() as data:
            data.sendall((self.directory / Path(name).name).read_bytes())
        self._say("226 sent")

    def do_quit(self, _: str) -> None:
        self._say("221 goodbye")

    def _data(self) -> socket.socket:
        self._say("150 opening a data connection")
        while True:
            data = socket.socket()
            data.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            data.settimeout(5)
            data.bind((self.connection.getsockname()[0], self.server.data_port))
            try:
                data.connect(self.client_address)
            except OSError as error:
                data.close()
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                time.sleep(0.1)
            else:
                return data

    def _say(self, reply: str) -> None:
        self.wfile.write(reply.encode() + b"\r\n")

    def _log(self, line: str) -> None:
        with self.server.log.open("a") as log:
            log.write(
                f'[pid {id(self)}] FTP command: Client "{self.client_address[0]}", "{line}"\n'
            )


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, data_port: int, root: Path, log: Path) -> None:
        super().__init__(("", port), Session)
        self.data_port, self.root, self.log = data_port, root, log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("data_port", type=int)
    parser.add_argument("root", type=Path)
    parser.add_argument("log", type=Path)
    wanted = parser.parse_args()
    # Both ends of every data connection are the same: the next one must be allowed to follow the
    # last within its TIME_WAIT (after a second). This namespace only.
    Path("/proc/sys/net/ipv4/tcp_tw_reuse").write_text("1")
    with Server(wanted.port, wanted.data_port, wanted.root, wanted.log) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
