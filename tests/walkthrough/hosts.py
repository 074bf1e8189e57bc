"""The hosts on which a page's commands are typed.

The machine itself is where the tests run, in an empty directory. Each host of the lab has its own /etc, /run and /root besides its
own network, so that a page can write configurations and start services on it; nothing of that is on the machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import BinaryIO

from ipmasq.lab import Lab, Layout

PATIENCE = 30
"""Seconds for one command."""

USUAL = "ipmasq"
"""The name of a lab that was given none, as the pages have it."""

TREE = Path(__file__).resolve().parents[2]

PROGRAMS = Path(__file__).parent / "programs"
"""What stands in for programs that a lab has not, such as systemctl."""

OWN = dedent("""\
    set -e
    mount -t tmpfs tmpfs {own}
    mkdir {own}/upper {own}/work {own}/root {own}/tree
    mount --bind {tree} {own}/tree
    mount -t overlay overlay -o lowerdir=/etc,upperdir={own}/upper,workdir={own}/work /etc
    mount --bind {own}/root /root
    mkdir -p {tree}
    mount --bind {own}/tree {tree}  # it may be in root's home
    mount -t tmpfs tmpfs /run
    mkdir -p /run/vsftpd/empty
    exec sleep infinity
""")


class Hosts:
    """The machine, and the hosts of a lab that is built when one of them is first used."""

    def __init__(self, directory: Path, prefix: str) -> None:
        self._directory = directory
        self._prefix = prefix
        self._lab: Lab | None = None
        self._anchors: dict[str, subprocess.Popen[bytes]] = {}
        self._left: dict[str, subprocess.Popen[bytes]] = {}

    def write(self, host: str | None, path: str, text: str) -> None:
        if host is None:
            (self._directory / path).write_text(text, encoding="utf-8")
            return
        command = f"mkdir -p {Path(path).parent} && cat > {path}"
        done = subprocess.run(self._command(host, command), input=text.encode(), check=False)
        assert done.returncode == 0, f"{host}: {path}"

    def type(self, host: str | None, command: str) -> tuple[int, list[str]]:
        """Run a command and return its exit code (-9 if it took too long) and what it showed."""
        with self._output("shown") as out:
            process = self._start(host, command, out)
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
            return code, self._lines("shown")

    def leave(self, host: str | None, command: str) -> str:
        """Start a command that goes on until the end of the page, and return a name for `ends`."""
        name = f"shown{len(self._left)}"
        with self._output(name) as out:
            self._left[name] = self._start(host, command, out)
        return name

    def ends(self, name: str) -> list[str]:
        """End such a command with Ctrl-C, unless it has ended. Return what it has shown."""
        with suppress(ProcessLookupError):
            os.killpg(self._left[name].pid, signal.SIGINT)
        self._left[name].wait(PATIENCE)
        return self._lines(name)

    def _output(self, name: str) -> BinaryIO:
        return (self._directory / name).open("wb")

    def _lines(self, name: str) -> list[str]:
        """What was shown, with the usual name of the lab."""
        text = (self._directory / name).read_text(encoding="utf-8", errors="replace")
        return [line.rstrip() for line in text.replace(self._prefix, USUAL).splitlines()]

    def _start(self, host: str | None, command: str, out: BinaryIO) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(host, command.replace(f"lab/{USUAL}/", f"lab/{self._prefix}/")),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=self._directory,
            env=self._environment(),
            start_new_session=True,
        )

    def _command(self, host: str | None, command: str) -> list[str]:
        if host is None:
            return ["sh", "-c", command]
        anchor = self._anchors.get(host) or self._own(host)
        target = f"--target={anchor.pid}"
        return [
            "nsenter",
            target,
            "--mount",
            "--root",
            "--wd",
            "--net",
            "sh",
            "-c",
            f"cd /root; {command}",
        ]

    def _own(self, host: str) -> subprocess.Popen[bytes]:
        """Give a host directories of its own, and return the process that keeps them."""
        self._lab = self._lab or Lab.up(Layout(prefix=self._prefix))
        own = self._directory / host
        own.mkdir()
        script = OWN.format(own=own, tree=TREE)
        anchor = self._lab.spawn(host, ["unshare", "--mount", "sh", "-c", script])
        self._anchors[host] = anchor
        ready = f'until [ "$(cat /proc/{anchor.pid}/comm)" = sleep ]; do sleep 0.02; done'
        subprocess.run(["sh", "-c", ready], timeout=PATIENCE, check=True)
        return anchor

    def _environment(self) -> dict[str, str]:
        path = f"{PROGRAMS}:{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        return {**os.environ, "PATH": path, "COLUMNS": "80", "IPMASQ_LAB": self._prefix}

    def close(self) -> None:
        """Remove the lab, also one that the page has built, and end what runs in it."""
        for lab in (Lab.find(self._prefix),) if self._lab or _exists(self._prefix) else ():
            lab.down()
        for process in (*self._left.values(), *self._anchors.values()):
            process.kill()
            process.wait()


def _exists(prefix: str) -> bool:
    from ipmasq.lab import record

    return record.load(prefix) is not None
