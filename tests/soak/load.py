"""The workers of a soak: which there are, started together, ended together."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.soak.stage import ECHO, PATIENCE, PUBLIC, PUBLISHED_ECHO, PUBLISHED_FTP, Stage

NETWORKS = {"in3": "10.0.0.0", "out2": "198.51.100.0"}
"""Where floods pretend to come from."""

Count: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Job:
    name: str
    host: str
    module: str
    arguments: tuple[object, ...]


def jobs(stage: Stage, pause: float, flood: float) -> list[Job]:
    """`pause`: seconds between two attempts of one worker; `flood`: packets per second from each side."""
    out = stage.lab.host("out1").ip
    root = stage.ftp_root
    work = [
        Job("FTP, client inside", "in1", "ftp", (out, 21, root, pause)),
        Job("FTP, client inside", "in1", "ftp", (out, 21, root, pause)),
        Job("FTP, server inside", "out2", "ftp", (PUBLIC, PUBLISHED_FTP, root, pause)),
        Job("FTP, server inside", "out1", "ftp", (PUBLIC, PUBLISHED_FTP, root, pause)),
        Job("short connections out", "in1", "short", (out, ECHO, pause / 5)),
        Job("short connections in", "out2", "short", (PUBLIC, PUBLISHED_ECHO, pause / 5)),
        Job("datagrams out", "in1", "datagrams", (out, ECHO, pause)),
        Job("datagrams in", "out2", "datagrams", (PUBLIC, PUBLISHED_ECHO, pause)),
    ]
    if flood:
        work.append(Job("flood from inside", "in3", "flood", (NETWORKS["in3"], out, flood)))
        work.append(Job("flood from outside", "out2", "flood", (NETWORKS["out2"], PUBLIC, flood)))
    return work


class Load:
    """Started when it is made."""

    def __init__(self, stage: Stage, work: list[Job]) -> None:
        self._running: list[tuple[Job, subprocess.Popen[bytes]]] = []
        self._errors = (stage.directory / "workers.err").open("w+b")
        try:
            for number, job in enumerate(work):
                told = (stage.seed * 1000 + number, *job.arguments)
                said = {"stdout": subprocess.PIPE, "stderr": self._errors}
                self._running.append((job, stage.python(job.host, job.module, *told, **said)))
        except BaseException:
            self.kill()
            raise

    def end(self) -> list[tuple[Job, Count | str]]:
        """What each has counted, or why it has not."""
        for _, process in self._running:
            process.terminate()
        return [(job, self._count(process)) for job, process in self._running]

    def kill(self) -> None:
        """Those that still run."""
        for _, process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()
        self._errors.close()

    def _count(self, process: subprocess.Popen[bytes]) -> Count | str:
        try:
            said, _ = process.communicate(timeout=2 * PATIENCE)
            return dict(json.loads(said))
        except subprocess.TimeoutExpired:
            return "it did not end when it was asked to"
        except ValueError:
            self._errors.seek(0)
            text = self._errors.read().decode(errors="replace").strip()
            return f"it ended with {process.returncode}: {text[-500:]}"
