"""Writes the configuration, with comments."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MODE = 0o644

HEAD = """\
# The configuration of ipmasq, written by `ipmasq setup`. All settings: ipmasq config example
# After a change: ipmasq check {path} && ipmasq reload

[gateway]
# The interfaces behind which the hosts are that are masqueraded; each stands for its networks.
inside = {inside}

# The interface that leads to all other hosts. Its address is the public one, also after it changes.
outside = {outside}
"""

FORWARD = """
# A published server: connections to port {port} of the public address go to it.
[[forward]]
name = {name}
protocol = "tcp"
port = {port}
to = {to}
"""

NONE_PUBLISHED = """
# To publish a server that is behind this gateway:
#
# [[forward]]
# name = "ftp"
# protocol = "tcp"
# port = 21
# to = "10.0.0.2:21"
"""

FTP = 21


@dataclass(frozen=True, slots=True)
class Server:
    """A server to publish: an inside address as text, and its TCP port."""

    address: str
    port: int = FTP

    @property
    def name(self) -> str:
        return "ftp" if self.port == FTP else f"server-{self.port}"


def configuration(path: Path, inside: Sequence[str], outside: str, server: Server | None) -> str:
    """Return the text of the file."""
    text = HEAD.format(path=path, inside=json.dumps(list(inside)), outside=json.dumps(outside))
    if server is None:
        return text + NONE_PUBLISHED
    to = json.dumps(f"{server.address}:{server.port}")
    return text + FORWARD.format(name=json.dumps(server.name), port=server.port, to=to)


def write(path: Path, text: str) -> None:
    """Write the file as a whole: whoever reads it finds the old text or the new one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as out:
        out.write(text)
    new.replace(path)
