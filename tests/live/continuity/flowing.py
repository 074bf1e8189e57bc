"""What runs through a gateway while it is upgraded: downloads by real FTP clients and servers, and a stream of datagrams
of which each one is missed."""

from __future__ import annotations

import ftplib
import hashlib
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Self

from tests.live.conftest import REMOTE, Network
from tests.live.continuity.upgrading import PATIENCE, eventually
from tests.live.test_tun import udp_socket
from tests.namespaces import within

SIZE, HALF = 24 << 20, 12 << 20
"""Bytes of a file, and of what is read of it before the test has done what it does."""

PIECE, PAUSE = 1 << 16, 0.03
"""Bytes that are read at a time until then, and seconds between two of them."""

LAST = b"last"

SO_RCVBUFFORCE = 33
"""<asm-generic/socket.h>"""


@contextmanager
def server(network: Network, host: str, directory: Path) -> Iterator[bytes]:
    """vsftpd, with a file `data`; its content."""
    root = directory / f"ftp-{host}"
    root.mkdir(mode=0o755)
    for above in (root, *root.parents[:3]):
        if above != Path("/tmp"):
            above.chmod(above.stat().st_mode | 0o555)
    content = random.Random(host).randbytes(SIZE)
    (root / "data").write_bytes(content)
    empty = Path("/run/vsftpd/empty")
    empty.mkdir(parents=True, exist_ok=True)
    file = directory / f"vsftpd-{host}.conf"
    file.write_text(
        dedent(
            f"""\
            background=NO
            listen=YES
            listen_port=2121
            seccomp_sandbox=NO
            isolate=NO
            isolate_network=NO
            secure_chroot_dir={empty}
            nopriv_user=ftp
            ftp_username=ftp
            local_enable=NO
            anonymous_enable=YES
            no_anon_password=YES
            anon_root={root}
            """
        )
    )
    process = network.start(host, "vsftpd", str(file))
    try:
        with network.at(host):
            eventually(lambda: serves(2121), "vsftpd listens")
        yield content
    finally:
        process.kill()
        process.communicate()


def serves(port: int) -> bool:
    """Whether a whole FTP session succeeds on this host. One that is left early would be reset, sooner or later."""
    session = ftplib.FTP()
    try:
        session.connect("127.0.0.1", port, PATIENCE)
    except ConnectionRefusedError:
        return False
    session.quit()
    return True


class Download:
    """curl, in the middle of a file: half of it is read slowly, the rest in `check`, so that it is never over before."""

    def __init__(self, network: Network, host: str, url: str, *how: str) -> None:
        command = ["curl", "-sS", "--max-time", "240", *how, url]
        self._process = subprocess.Popen(
            within(network.name(host), *command), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._hash, self._bytes = hashlib.sha256(), 0
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self._bytes or self._process.poll() is not None, "it has begun")
        return self

    def __exit__(self, *error: object) -> None:
        self._released.set()
        self._process.kill()
        self._thread.join()
        self._process.communicate()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while True:
            if not self._released.is_set():
                self._released.wait(PAUSE if self._bytes < HALF else None)
            data = self._process.stdout.read(PIECE)
            if not data:
                return
            self._hash.update(data)
            self._bytes += len(data)

    @property
    def is_under_way(self) -> bool:
        return self._process.poll() is None

    def check(self, content: bytes) -> None:
        self._released.set()
        self._thread.join(PATIENCE)
        assert self._process.wait(PATIENCE) == 0
        assert self._hash.digest() == hashlib.sha256(content).digest()


class Datagrams:
    """Numbered datagrams from inside, one every 2 ms, of a flow that is offloaded to the fast path, if there is one."""

    def __init__(self, network: Network) -> None:
        self._near = udp_socket(network, "in")
        self._far = udp_socket(network, "out", REMOTE, 7000)
        self._far.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self._sent = 0
        self._received: list[int] = []
        self._public: set[object] = set()
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._send, self._receive)]

    def __enter__(self) -> Self:
        self._near.sendto(b"0", (REMOTE, 7000))
        _, public = self._far.recvfrom(100)
        self._public.add(public)
        self._far.sendto(b"answer", public)
        self._near.recv(100)
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        for each in self._threads:
            each.join(PATIENCE)
        self._near.close()
        self._far.close()

    def _send(self) -> None:
        while not self._ends.is_set():
            self._sent += 1
            self._near.sendto(str(self._sent).encode(), (REMOTE, 7000))
            time.sleep(0.002)
        self._near.sendto(LAST, (REMOTE, 7000))

    def _receive(self) -> None:
        while True:
            try:
                data, public = self._far.recvfrom(100)
            except OSError:  # nothing has come for seconds
                return
            if data == LAST:
                return
            self._received.append(int(data))
            self._public.add(public)

    def check(self) -> None:
        """End. Each has arrived, once, from the same public endpoint. One that the engine forwards may be overtaken by one
        that the fast path does."""
        self._ends.set()
        for each in self._threads:
            each.join(PATIENCE)
        missing = sorted(set(range(1, self._sent + 1)) - set(self._received))
        assert missing == [], f"of {self._sent}"
        assert len(self._received) == self._sent
        assert len(self._public) == 1
