"""FTP sessions in every mode; each transfer is compared with what was sent, byte by byte.

`python -m tests.soak.ftp SEED ADDRESS PORT ROOT PAUSE`: ROOT is the server's directory, which all hosts of a
lab can see; what was uploaded is read there, so a transfer counts as correct only if both ends agree.
"""

from __future__ import annotations

import ftplib
import io
import socket
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from tests.soak.worker import PATIENCE, Worker

MODES = ("PORT", "EPRT", "PASV", "EPSV")
SIZES = (0, 1, 1459, 1460, 1461, 20_000, 300_000, 1_000_000)
MOST_TRANSFERS = 5
"""In one session."""


class Client(ftplib.FTP):
    """One that believes the address in a 227 reply, and can announce in every way over IPv4."""

    trust_server_pasv_ipv4_address = True

    def __init__(self, mode: str) -> None:
        super().__init__(timeout=PATIENCE)
        self.mode = mode
        self.own = 0
        """The port of its control connection."""
        self.set_pasv(mode in ("PASV", "EPSV"))

    def makeport(self) -> socket.socket:
        own = self.sock.getsockname()[0]
        listening = socket.create_server((own, 0), backlog=1)
        listening.settimeout(PATIENCE)
        announce = self.sendport if self.mode == "PORT" else self.sendeprt
        try:
            announce(own, listening.getsockname()[1])
        except BaseException:
            listening.close()
            raise
        return listening

    def makepasv(self) -> tuple[str, int]:
        if self.mode == "PASV":
            return ftplib.parse227(self.sendcmd("PASV"))
        peer = self.sock.getpeername()
        return peer[0], ftplib.parse229(self.sendcmd("EPSV"), peer)[1]


class Sessions:
    def __init__(self, worker: Worker, address: str, port: int, root: Path) -> None:
        self._worker, self._at, self._root = worker, (address, port), root
        self._numbers = count()
        self._stem = (
            f"{socket.gethostname()}-{address}-{port}-{worker.chance.randrange(1 << 32):08x}"
        )

    def one(self) -> None:
        chance, tally = self._worker.chance, self._worker.tally
        client = Client(chance.choice(MODES))
        try:
            client.connect(*self._at)
            client.own = client.sock.getsockname()[1]
            client.login()
            for _ in range(chance.randint(1, MOST_TRANSFERS)):
                transfer = chance.choice((self._upload, self._download))
                size = chance.choice(SIZES)
                what = f"{client.mode} {transfer.__name__.strip('_')} of {size} bytes"
                sent, got = transfer(client, chance.randbytes(size))
                if sent == got:
                    tally.complete(size)
                else:
                    tally.complain(f"{what}: {_differences(sent, got)}")
            client.quit()
        except (OSError, EOFError, ftplib.Error) as error:
            self._worker.fail(error, f"{client.mode} {client.own}")
        finally:
            client.close()

    def _upload(self, client: Client, data: bytes) -> tuple[bytes, bytes]:
        path = self._root / "in" / f"{self._stem}-{next(self._numbers)}"
        try:
            client.storbinary(f"STOR in/{path.name}", io.BytesIO(data))
            return data, path.read_bytes()
        finally:
            path.unlink(missing_ok=True)

    def _download(self, client: Client, data: bytes) -> tuple[bytes, bytes]:
        path = self._root / f"{self._stem}-{next(self._numbers)}"
        path.write_bytes(data)
        path.chmod(0o644)
        parts: list[bytes] = []
        try:
            take: Callable[[bytes], object] = parts.append
            client.retrbinary(f"RETR {path.name}", take)
        finally:
            path.unlink()
        return data, b"".join(parts)


def _differences(sent: bytes, got: bytes) -> str:
    if len(sent) != len(got):
        return f"{len(got)} bytes came"
    wrong = [at for at, (one, other) in enumerate(zip(sent, got, strict=True)) if one != other]
    return f"{len(wrong)} bytes differ, the first at {wrong[0]}"


def main(seed: str, address: str, port: str, root: str, pause: str) -> None:
    worker = Worker(int(seed))
    sessions = Sessions(worker, address, int(port), Path(root))
    worker.run(partial(sessions.one), float(pause))


if __name__ == "__main__":
    main(*sys.argv[1:])
