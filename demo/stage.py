"""Sets the stage: a lab with two gateways' places in it, servers that run, files to send."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from demo.servers import Servers
from demo.session import Testbed
from ipmasq.lab import Lab, LabError, Layout
from ipmasq.lab.record import known

NAME = "masqdemo"
"""Begins the names of labs and directories of ours; the process that they belong to ends them."""

TEMPORARY = Path(tempfile.gettempdir())


@contextmanager
def stage(xdp: bool = False) -> Iterator[Testbed]:
    """All of it is gone afterwards, whatever happened in between. `xdp`: see `ipmasq.lab.Layout`."""
    _sweep()
    name = f"{NAME}{os.getpid()}"
    directory = TEMPORARY / name
    directory.mkdir()  # not private: the servers drop their rights before they come here
    try:
        with Lab.up(Layout(prefix=name, gateways=2, inside=3, outside=2, xdp=xdp)) as lab:
            servers = Servers(lab, directory)
            servers.start()
            yield Testbed(lab, servers, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sweep() -> None:
    """Remove what demos that were killed have left."""
    for prefix in filter(_is_abandoned, known()):
        with suppress(LabError):  # another demo was quicker
            Lab.find(prefix).down()
    for directory in TEMPORARY.glob(f"{NAME}*"):
        if _is_abandoned(directory.name):
            shutil.rmtree(directory, ignore_errors=True)


def _is_abandoned(name: str) -> bool:
    pid = name.removeprefix(NAME)
    alive = pid != str(os.getpid()) and Path("/proc", pid).exists()
    return name.startswith(NAME) and pid.isdigit() and not alive
