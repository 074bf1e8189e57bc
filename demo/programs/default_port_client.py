"""A client as in 1971: it announces nothing and takes data on the port of its control connection
(RFC 959, 3.2). Does an errand: cd, upload, list, download. Stands alone."""

import argparse
import socket
import sys
from pathlib import Path


class Client:
    def __init__(self, address: str, port: int, patience: float) -> None:
        self.control = self._socket(("", 0), patience)
        self.control.connect((address, port))
        self.listener = self._socket(self.control.getsockname(), patience)
        self.listener.listen()
        self.replies = self.control.makefile("rb")
        self._expect(b"2")

    def say(self, command: str, expect: bytes) -> None:
        print("->", command)
        self.control.sendall(command.encode() + b"\r\n")
        self._expect(expect)

    def receive(self, command: str) -> bytes:
        self.say(command, b"1")
        with self.listener.accept()[0] as data, data.makefile("rb") as stream:
            content = stream.read()
        self._expect(b"2")
        return content

    def send(self, command: str, content: bytes) -> None:
        self.say(command, b"1")
        with self.listener.accept()[0] as data:
            data.sendall(content)
        self._expect(b"2")

    def _expect(self, digit: bytes) -> None:
        line = self.replies.readline()
        print("<-", line.decode(errors="replace").rstrip())
        if not line.startswith(digit):
            sys.exit(f"the server says {line!r}")

    @staticmethod
    def _socket(at: tuple[str, int], patience: float) -> socket.socket:
        made = socket.socket()
        # Two sockets on one port: one is connected, the other listens.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.settimeout(patience)
        made.bind(at)
        return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("announce", "address", "port", "directory", "upload", "upload_as"):
        parser.add_argument(name)
    for name in ("listing", "download", "download_of"):
        parser.add_argument(name)
    parser.add_argument("--patience", type=float, default=10.0)
    wanted = parser.parse_args()
    client = Client(wanted.address, int(wanted.port), wanted.patience)
    client.say("USER anonymous", b"2")
    client.say(f"CWD {wanted.directory}", b"2")
    client.send(f"STOR {wanted.upload_as}", Path(wanted.upload).read_bytes())
    Path(wanted.listing).write_bytes(client.receive("LIST"))
    Path(wanted.download).write_bytes(client.receive(f"RETR {wanted.download_of}"))
    client.say("QUIT", b"2")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")
