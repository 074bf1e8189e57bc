"""Traffic that goes on while the gateway is replaced, and how it ended."""

from __future__ import annotations

import ftplib
import hashlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import dedent

from tests.live.continuity.flowing import serves
from tests.live.continuity.pair import PUBLIC, REMOTE, Pair, eventually

PATIENCE = 20.0
RATE = 12 << 20
"""Bytes per second of each transfer."""
SECONDS = 12
EMPTY_DIRECTORY = Path("/run/vsftpd/empty")
CHUNK = 1 << 16
SO_TIMESTAMPNS = 35


class Told(threading.Thread):
    """Something that goes on in a thread, in a namespace. `result` raises what it has raised."""

    def __init__(self, pair: Pair, host: str, do: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._pair, self._host, self._do = pair, host, do
        self._error: BaseException | None = None
        self._value: object = None
        self.start()

    def run(self) -> None:
        try:
            with self._pair.at(self._host):
                self._value = self._do()
        except BaseException as error:
            self._error = error

    def result(self) -> object:
        self.join(2 * PATIENCE)
        assert not self.is_alive(), "it goes on and on"
        if self._error is not None:
            raise self._error
        return self._value


# -- FTP


@contextmanager
def ftp_server(pair: Pair, host: str, rate: int = RATE) -> Iterator[Path]:
    """vsftpd on a host; its directory, which has a file `data`."""
    root = pair.directory / f"ftp-{host}"
    root.mkdir(mode=0o755)
    for above in (root, *root.parents[:3]):
        if above != Path("/tmp"):
            above.chmod(above.stat().st_mode | 0o555)
    (root / "data").write_bytes(random.Random(host).randbytes(RATE * SECONDS))
    (root / "little").write_bytes(random.Random(host).randbytes(50_000))
    EMPTY_DIRECTORY.mkdir(parents=True, exist_ok=True)
    file = pair.directory / f"vsftpd-{host}.conf"
    file.write_text(
        dedent(
            f"""\
            background=NO
            listen=YES
            listen_port=21
            seccomp_sandbox=NO
            isolate=NO
            isolate_network=NO
            secure_chroot_dir={EMPTY_DIRECTORY}
            nopriv_user=ftp
            ftp_username=ftp
            local_enable=NO
            anonymous_enable=YES
            no_anon_password=YES
            anon_root={root}
            connect_from_port_20=YES
            anon_max_rate={rate}
            """
        )
    )
    with file.with_suffix(".err").open("w+b") as errors:
        pair.start(host, f"vsftpd-{host}", "vsftpd", str(file))
    assert errors is not None
    with pair.at(host):
        eventually(lambda: serves(21))
    yield root


class Session:
    """An FTP session, and one long transfer in it."""

    def __init__(self, pair: Pair, host: str, address: str, port: int, passive: bool) -> None:
        self._ftp = ftplib.FTP()
        self._address, self._port, self._passive = address, port, passive
        self.came = 0
        self._sum = hashlib.sha256()
        self._transfer = Told(pair, host, self._run)

    def _run(self) -> None:
        self._ftp.connect(self._address, self._port, timeout=PATIENCE)
        # An address in a 227 reply is what the helper has to get right.
        self._ftp.trust_server_pasv_ipv4_address = True
        self._ftp.login()
        self._ftp.set_pasv(self._passive)
        self._ftp.retrbinary("RETR data", self._take, CHUNK)
        for _ in range(10):
            self._ftp.voidcmd("NOOP")
        little: list[bytes] = []
        for _ in range(2):
            self._ftp.retrbinary("RETR little", little.append)
        self._sum.update(b"".join(little))
        self._ftp.quit()

    def _take(self, data: bytes) -> None:
        self.came += len(data)
        self._sum.update(data)

    def check(self, root: Path) -> None:
        """After the long transfer, ten commands and two short transfers: compare what came."""
        self._transfer.result()
        little = (root / "little").read_bytes()
        assert self.came == RATE * SECONDS
        assert (
            self._sum.digest() == hashlib.sha256((root / "data").read_bytes() + 2 * little).digest()
        )


class Fetches:
    """An FTP session that fetches a little file again and again, each time by a PORT."""

    def __init__(self, pair: Pair, host: str, address: str, root: Path) -> None:
        self.count = 0
        self._ends = False
        self._address, self._whole = address, (root / "little").read_bytes()
        self._fetching = Told(pair, host, self._run)

    def _run(self) -> None:
        with ftplib.FTP(self._address, timeout=PATIENCE) as session:
            session.login()
            session.set_pasv(False)
            while not self._ends:
                came: list[bytes] = []
                session.retrbinary("RETR little", came.append)
                assert b"".join(came) == self._whole
                self.count += 1

    def go_on(self) -> None:
        """Wait for three more."""
        goal = self.count + 3
        eventually(lambda: self.count >= goal or not self._fetching.is_alive())
        if not self._fetching.is_alive():
            self._fetching.result()
        assert self.count >= goal

    def end(self) -> None:
        self._ends = True
        self._fetching.result()


# -- other traffic


class Bulk:
    """A download by TCP without a helper, at RATE."""

    def __init__(self, pair: Pair, port: int = 5001) -> None:
        with pair.at("out"):
            self._server = socket.create_server((REMOTE, port))
        self._data = random.Random(port).randbytes(RATE * SECONDS)
        self.came = 0
        self._give = Told(pair, "out", self._serve)
        self._got = Told(pair, "in", self._fetch)

    def _serve(self) -> None:
        with self._server, self._server.accept()[0] as client:
            for at in range(0, len(self._data), CHUNK):
                client.sendall(self._data[at : at + CHUNK])
                time.sleep(CHUNK / RATE)

    def _fetch(self) -> bytes:
        found = hashlib.sha256()
        with socket.create_connection(self._server.getsockname(), PATIENCE) as client:
            while data := client.recv(CHUNK):
                self.came += len(data)
                found.update(data)
        return found.digest()

    def check(self) -> None:
        assert self._got.result() == hashlib.sha256(self._data).digest()
        self._give.result()


class Datagrams:
    """Questions by UDP every 10 ms, and their answers."""

    def __init__(
        self, pair: Pair, port: int = 5002, host: str = "in", public: str = PUBLIC
    ) -> None:
        self._public = public
        with pair.at("out"):
            self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._server.bind((REMOTE, port))
        self._server.settimeout(0.1)
        self._server.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.senders: set[tuple[str, int]] = set()
        self.asked = self.heard = self.answered = 0
        self.last = 0.0
        """When the latest question came to the host, by `time.time`; this program may be late."""
        self.pause = 0.0
        """The longest time between two answers since this was set to 0."""
        self._ends = False
        self._echo = Told(pair, "out", self._serve)
        self._questions = Told(pair, host, self._ask)

    def _serve(self) -> None:
        while not self._ends:
            with suppress(TimeoutError):
                data, ((_, _, moment),), _, sender = self._server.recvmsg(100, 64)
                self.senders.add(sender)
                seconds, nanoseconds = struct.unpack("qq", moment)
                self.heard, self.last = self.heard + 1, seconds + nanoseconds / 1e9
                self._server.sendto(data, sender)

    def _ask(self) -> None:
        last = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(self._server.getsockname())
            client.settimeout(0.01)
            while not self._ends:
                client.send(b"%d" % self.asked)
                self.asked += 1
                with suppress(TimeoutError, ConnectionError):
                    client.recv(100)
                    self.answered += 1
                    now = time.monotonic()
                    self.pause, last = max(self.pause, now - last), now
                    time.sleep(0.01)

    def end(self) -> None:
        self._ends = True
        self._questions.result()
        self._echo.result()
        self._server.close()

    def check(self) -> None:
        """It is still one flow, whose public endpoint has not changed."""
        before = self.answered
        eventually(lambda: self.answered > before + 10)
        self.end()
        assert len(self.senders) == 1, self.senders
        assert next(iter(self.senders))[0] == self._public


class Idle:
    """Connections on which nothing happens until `check`."""

    def __init__(self, pair: Pair, count: int = 100, port: int = 5003) -> None:
        with pair.at("out"):
            server = socket.create_server((REMOTE, port), backlog=count)
        self._server = server
        self._ends: list[tuple[socket.socket, socket.socket]] = []
        with pair.at("in"):
            for _ in range(count):
                client = socket.create_connection((REMOTE, port), PATIENCE)
                self._ends.append((client, server.accept()[0]))

    def check(self) -> None:
        """Both ends say something, which comes to the other one."""
        for number, (client, other) in enumerate(self._ends):
            for one in (client, other):
                one.sendall(b"%d" % number)
            for each in (client, other):
                each.settimeout(PATIENCE)
                assert each.recv(10) == b"%d" % number
                each.close()
        self._server.close()


class Everything:
    """All of it at the same time."""

    def __init__(self, pair: Pair, out: Path, inside: Path) -> None:
        self.idle = Idle(pair)
        self.datagrams = Datagrams(pair)
        self.bulk = Bulk(pair)
        self.sessions = {
            "PORT of an inside client": (Session(pair, "in", REMOTE, 21, False), out),
            "PASV of an inside client": (Session(pair, "in", REMOTE, 21, True), out),
            "PASV of an inside server": (Session(pair, "out", PUBLIC, 2121, True), inside),
            "PORT of an outside client": (Session(pair, "out", PUBLIC, 2121, False), inside),
        }

    def run_for(self, transferred: int) -> None:
        """Wait until every transfer has brought so many more bytes, or its last one. On a busy machine some are far ahead
        of others, but not all may have ended before."""
        transfers = [self.bulk, *(session for session, _ in self.sessions.values())]
        whole = RATE * SECONDS
        assert any(each.came < whole for each in transfers), "they have ended too early"
        goals = [(each, min(each.came + transferred, whole)) for each in transfers]
        eventually(lambda: all(each.came >= goal for each, goal in goals))

    def check(self) -> None:
        """Nothing was reset, lost or changed."""
        for what, (session, root) in self.sessions.items():
            try:
                session.check(root)
            except Exception as error:
                raise AssertionError(f"{what}: {error!r}, after {session.came} bytes") from error
        self.bulk.check()
        self.datagrams.check()
        self.idle.check()
