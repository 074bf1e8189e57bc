"""Sets the stage: a lab with two gateways' places in it, servers that run, files to send."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.servers import Servers
from demo.session import Place
from ipmasq.lab import Lab, LabError, Layout
from ipmasq.lab.record import known

NAME = "masqdemo"


@contextmanager
def stage() -> Iterator[Place]:
    """All of it is gone afterwards, whatever happened in between."""
    _sweep()
    directory = Path(tempfile.mkdtemp(prefix=f"{NAME}-"))
    directory.chmod(0o755)  # the servers drop their rights before they come here
    try:
        layout = Layout(prefix=f"{NAME}{os.getpid()}", gateways=2, inside=3, outside=2)
        with Lab.up(layout) as lab:
            servers = Servers(lab, directory)
            servers.start()
            yield Place(lab, servers, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sweep() -> None:
    """Take down the labs of demos that were killed."""
    for prefix in known():
        pid = prefix.removeprefix(NAME)
        if prefix.startswith(NAME) and not Path("/proc", pid).exists():
            try:
                Lab.find(prefix).down()
            except LabError:  # another demo was quicker
                continue
