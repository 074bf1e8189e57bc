"""One client doing its errand on one host, and its result: files compared, server's log read."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.cells import ALL, Announce, Direction
from demo.clients import Client, Errand
from demo.servers import Servers
from ipmasq.lab import Lab

LIMIT = 90.0
"""Seconds that any session may take."""


@dataclass(frozen=True)
class Outcome:
    """`through`: which of upload, listing, download arrived whole. `announced`: the server heard the
    announcement. `problem`: empty if all is well."""

    client: str
    through: tuple[str, ...]
    announced: bool
    problem: str
    seconds: float
    transcript: str

    @property
    def works(self) -> bool:
        return not self.problem

    @property
    def fails_as_it_must(self) -> bool:
        """The control connection worked, and no data connection came about."""
        return self.announced and not self.through


@dataclass(frozen=True)
class Samples:
    """What is sent up, and what is fetched, with its digest."""

    path: Path
    digest: str

    @classmethod
    def write(cls, path: Path, size: int) -> Samples:
        path.write_bytes(os.urandom(size))
        path.chmod(0o644)
        return cls(path, digest(path))


@dataclass(frozen=True)
class Testbed:
    """Where sessions happen. Numbers must not repeat within one place."""

    lab: Lab
    servers: Servers
    directory: Path


def play(
    testbed: Testbed,
    direction: Direction,
    announce: Announce,
    port: int,
    client: Client,
    samples: tuple[Samples, Samples],
    number: int,
    *,
    host: str = "",
    server_port: int | None = None,
    patience: int = 10,
) -> Outcome:
    """One session from `host` (or the direction's client) to `port`.

    `samples`: what is sent up and what is fetched. `server_port`: where the server really listens.
    """
    up, down = samples
    directory = f"run-{number}"
    room = testbed.servers.make_room(directory)
    os.link(down.path, room / "sample.bin")
    errand = Errand(
        announce=announce,
        address=testbed.lab.host(direction.dials).ip,
        port=port,
        directory=directory,
        upload=up.path,
        upload_as="upload.bin",
        listing=testbed.directory / f"{directory}.list",
        download=testbed.directory / f"{directory}.bin",
        download_of="sample.bin",
        patience=patience,
    )
    started = time.monotonic()
    status, said = _run(testbed, host or direction.client, *client.told(errand))
    seconds = time.monotonic() - started
    heard = testbed.servers.heard(direction.server, server_port or port, directory)
    through = tuple(_through(errand, room, up, down))
    spoken = {match[1] for line in heard if (match := re.search(r', "(\w{4})[ "]', line))}
    problem = _problem(announce, status, through, spoken)
    transcript = "\n".join(["client:", said.rstrip(), "server:", *heard])
    errand.download.unlink(missing_ok=True)
    return Outcome(
        client.name,
        through,
        announce is Announce.NOT or announce in spoken,
        problem,
        seconds,
        transcript,
    )


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(testbed: Testbed, host: str, command: Sequence[str], typed: str) -> tuple[int, str]:
    """Exit status and all that was said; a session that takes too long is ended."""
    environment = {
        "HOME": str(testbed.directory),  # no settings of the person who runs this
        "PATH": os.environ["PATH"],
        "LC_ALL": "C",
        "TERM": "dumb",
    }
    process = testbed.lab.spawn(
        host,
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=testbed.directory,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(typed.encode(), timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        said += b"\n(ended: it took too long)"
    return process.returncode, said.decode(errors="replace")


def _through(errand: Errand, room: Path, up: Samples, down: Samples) -> list[str]:
    stored = room / errand.upload_as
    arrived = {
        "upload": stored.exists() and digest(stored) == up.digest,
        "listing": errand.listing.exists() and errand.download_of in errand.listing.read_text(),
        "download": errand.download.exists() and digest(errand.download) == down.digest,
    }
    return [name for name, whole in arrived.items() if whole]


def _problem(announce: Announce, status: int, through: Sequence[str], spoken: set[str]) -> str:
    """One phrase, or nothing."""
    missing = [name for name in ("upload", "listing", "download") if name not in through]
    others = sorted(spoken & set(ALL) - {announce})
    if missing:
        return f"no {' and no '.join(missing)}"
    if announce is not Announce.NOT and (announce not in spoken or others):
        return f"the client said {', '.join(others) or 'nothing'} instead of {announce}"
    return f"the client ended with status {status}" if status else ""
