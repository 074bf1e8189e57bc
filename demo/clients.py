"""The clients, and what each is told to do: cd, upload, list, download, in one session.

Each is run in the old style, which believes the address in a 227 reply; a modern client ignores it and
so hides a helper that does not work. What is modern by default is therefore run both ways for PASV.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from demo.cells import ACTIVE, ALL, Announce

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Errand:
    """What a client shall do. Paths are local files; the others are names on the server."""

    announce: Announce
    address: str
    port: int
    directory: str
    upload: Path
    upload_as: str
    listing: Path
    download: Path
    download_of: str
    patience: int
    """Seconds without progress after which it gives up."""

    def url(self, name: str) -> str:
        return f"ftp://{self.address}:{self.port}/{self.directory}/{name}"


Told = tuple[list[str], str]
"""A command line, and what is typed into it."""


@dataclass(frozen=True)
class Client:
    name: str
    speaks: tuple[Announce, ...]
    told: Callable[[Errand], Told]


def lftp(errand: Errand, fix_address: bool = False, tls: bool = False) -> Told:
    def switch(on: bool) -> str:
        return "yes" if on else "no"

    script = f"""\
        set cmd:fail-exit yes
        set net:timeout {errand.patience}
        set net:max-retries 1
        set net:reconnect-interval-base 1
        set ftp:auto-passive-mode no
        set ftp:passive-mode {switch(errand.announce not in ACTIVE)}
        set ftp:prefer-epsv {switch(errand.announce is Announce.EPSV)}
        set ftp:fix-pasv-address {switch(fix_address)}
        set ftp:ssl-allow {switch(tls)}
        debug -o /dev/stderr 9
        open -u anonymous,demo -p {errand.port} {errand.address}
        cd {errand.directory}
        put {errand.upload} -o {errand.upload_as}
        ls > {errand.listing}
        get {errand.download_of} -o {errand.download}
        """
    return ["lftp", "--norc", "-f", "/dev/stdin"], dedent(script)


def curl(errand: Errand, skip_address: bool = False) -> Told:
    style = {
        Announce.PORT: ["--ftp-port", "-", "--disable-eprt"],
        Announce.EPRT: ["--ftp-port", "-"],
        Announce.PASV: ["--disable-epsv"],
        Announce.EPSV: [],
    }[errand.announce]
    skip = "--ftp-skip-pasv-ip" if skip_address else "--no-ftp-skip-pasv-ip"
    options = ["--disable", "--silent", "--show-error", "--verbose", "--fail-early", skip, *style]
    stall = ["--connect-timeout", f"{errand.patience}", "--speed-time", f"{errand.patience}"]
    transfers = [
        *("--upload-file", str(errand.upload), errand.url(errand.upload_as)),
        *("--output", "/dev/null"),
        *("--output", str(errand.listing), errand.url("")),
        *("--output", str(errand.download), errand.url(errand.download_of)),
    ]
    return ["curl", *options, *stall, *transfers], ""


def tnftp(errand: Errand) -> Told:
    active = errand.announce in ACTIVE
    extended = errand.announce in (Announce.EPRT, Announce.EPSV)
    typed = f"""\
        open {errand.address} {errand.port}
        user anonymous demo
        {"" if extended else "epsv4"}
        binary
        cd {errand.directory}
        put {errand.upload} {errand.upload_as}
        ls . {errand.listing}
        get {errand.download_of} {errand.download}
        bye
        """
    mode = "-A" if active else "-p"
    return ["tnftp", "-n", "-i", "-v", "-d", "-q", f"{errand.patience}", mode], dedent(typed)


def ftplib(errand: Errand, trust_address: bool = True, *more: str) -> Told:
    return _program(
        "ftplib_session",
        errand,
        *(() if trust_address else ("--distrust",)),
        *more,
    )


def plain_sockets(errand: Errand) -> Told:
    return _program("default_port_client", errand)


def _program(name: str, errand: Errand, *more: str) -> Told:
    paths = [f"{errand.upload}", errand.upload_as, f"{errand.listing}", f"{errand.download}"]
    where = [errand.address, f"{errand.port}", errand.directory]
    arguments = [*where, *paths, errand.download_of, "--patience", f"{errand.patience}"]
    told = [sys.executable, str(PROGRAMS / f"{name}.py"), errand.announce, *arguments, *more]
    return told, ""


CLIENTS = (
    Client("lftp", (Announce.PORT, Announce.PASV, Announce.EPSV), lftp),
    Client("curl", ALL, curl),
    Client("tnftp", ALL, tnftp),
    Client("ftplib", ALL, ftplib),
    Client("lftp (modern)", (Announce.PASV,), lambda errand: lftp(errand, fix_address=True)),
    Client("curl (modern)", (Announce.PASV,), lambda errand: curl(errand, skip_address=True)),
    Client("ftplib (modern)", (Announce.PASV,), lambda errand: ftplib(errand, trust_address=False)),
)
SPECIAL = (
    Client("lftp (asking for TLS)", (Announce.PORT,), lambda errand: lftp(errand, tls=True)),
    Client("plain sockets", (Announce.NOT,), plain_sockets),
)


def able(announce: Announce, names: tuple[str, ...] = ()) -> list[Client]:
    """Those who can announce like this; if names are given, only they."""
    known = (*CLIENTS, *SPECIAL) if names else CLIENTS
    return [c for c in known if announce in c.speaks and (not names or c.name in names)]
