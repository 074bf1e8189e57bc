"""The servers: vsftpd on several hosts and ports, and one of the old kind. All serve one directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from demo import cells
from demo.clients import PROGRAMS
from ipmasq.lab import Lab

ACCOUNT = "ftp"
"""Whom anonymous users act as; Debian's vsftpd makes the account."""

EMPTY_DIRECTORY = Path("/run/vsftpd/empty")
"""vsftpd wants one to lock itself into."""


@dataclass(frozen=True)
class Site:
    """A server that shall run: where, on which port, and what is particular about it."""

    host: str
    port: int
    settings: tuple[str, ...] = ()


SITES = (
    *(
        Site(host, port)
        for host in ("out1", "in2", "far1")
        for port in (cells.STANDARD_PORT, cells.OTHER_PORT)
    ),
    *(
        Site(host, cells.SLOW_PORT, (f"anon_max_rate={cells.SLOW_RATE}",))
        for host in ("out1", "in2", "far1")
    ),
    Site("in2", cells.PROUD_PORT, ("pasv_address=203.0.113.1",)),
)
OLD_SITE = Site("out1", cells.DEFAULT_DATA_PORT)


class Servers:
    def __init__(self, lab: Lab, directory: Path) -> None:
        """`directory` is an empty directory for their files."""
        self.root = directory / "ftp"
        self._lab = lab
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self.root.mkdir(mode=0o755)
        EMPTY_DIRECTORY.mkdir(parents=True, exist_ok=True)
        for site in SITES:
            path = self._directory / f"vsftpd-{site.host}-{site.port}.conf"
            path.write_text(self._settings(site))
            self._spawn(site, ["vsftpd", str(path)])
        old = [str(PROGRAMS / "default_port_server.py"), str(OLD_SITE.port)]
        data_port, log = str(OLD_SITE.port - 1), str(self.log(OLD_SITE.host, OLD_SITE.port))
        self._spawn(OLD_SITE, [sys.executable, *old, data_port, str(self.root), log])
        for site in (*SITES, OLD_SITE):
            self._await(site)

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait()
        self._running.clear()

    def log(self, host: str, port: int) -> Path:
        return self._directory / f"{host}-{port}.log"

    def make_room(self, directory: str) -> Path:
        """A directory on all servers that anybody may write to."""
        room = self.root / directory
        room.mkdir()
        room.chmod(0o777)
        return room

    def heard(self, host: str, port: int, directory: str) -> list[str]:
        """The log lines of the session that went into `directory`."""
        lines = self.log(host, port).read_text(errors="replace").splitlines()
        by_session: dict[str, list[str]] = {}
        for line in lines:
            if session := re.search(r"\[pid (\d+)\]", line):
                by_session.setdefault(session[1], []).append(line)
        entered = re.compile(rf'"CWD [^"]*{re.escape(directory)}/?"')
        found = (each for each in by_session.values() if any(map(entered.search, each)))
        return next(found, [])

    def _settings(self, site: Site) -> str:
        common = f"""\
            background=NO
            listen=YES
            listen_port={site.port}
            seccomp_sandbox=NO
            isolate=NO
            isolate_network=NO
            secure_chroot_dir={EMPTY_DIRECTORY}
            nopriv_user={ACCOUNT}
            ftp_username={ACCOUNT}
            local_enable=NO
            anonymous_enable=YES
            no_anon_password=YES
            anon_root={self.root}
            anon_upload_enable=YES
            write_enable=YES
            anon_umask=022
            connect_from_port_20=YES
            connect_timeout=3
            accept_timeout=15
            log_ftp_protocol=YES
            xferlog_enable=YES
            xferlog_std_format=NO
            vsftpd_log_file={self.log(site.host, site.port)}
            """
        return dedent(common) + "".join(f"{line}\n" for line in site.settings)

    def _spawn(self, site: Site, command: list[str]) -> None:
        with (self._directory / f"{site.host}-{site.port}.err").open("w+b") as errors:
            process = self._lab.spawn(
                site.host,
                command,
                stdin=errors,  # where vsftpd writes its complaints to
                stdout=errors,
                stderr=errors,
                env={**os.environ, "LC_ALL": "C"},
            )
        self._running.append(process)

    def _await(self, site: Site) -> None:
        """Until it listens; seen in the kernel's table, so that no session of ours is in its log."""
        process = self._running[(*SITES, OLD_SITE).index(site)]
        table = Path("/proc", str(process.pid), "net/tcp")
        listening = re.compile(rf":{site.port:04X} 0{{8}}:0000 0A ")
        deadline = time.monotonic() + 10
        while process.poll() is None and time.monotonic() < deadline:
            if listening.search(table.read_text()):
                return
            time.sleep(0.02)
        said = (self._directory / f"{site.host}-{site.port}.err").read_text().strip()
        raise RuntimeError(f"the server on {site.host}:{site.port} did not start: {said}")
