"""The kernel's table of connections. Its size is a setting of the whole machine, and put back afterwards."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

MOST = Path("/proc/sys/net/netfilter/nf_conntrack_max")
BUCKETS = Path("/sys/module/nf_conntrack/parameters/hashsize")


@contextmanager
def room(connections: int) -> Iterator[None]:
    """For so many, with two buckets for each: either direction of a connection lies in one."""
    with _changed(MOST, connections), buckets(2 * connections):
        yield


def buckets(count: int) -> AbstractContextManager[None]:
    return _changed(BUCKETS, count)


def usual_buckets() -> int:
    """As many as there are now: unless they were set, those that the kernel gave itself."""
    if not BUCKETS.exists():
        subprocess.run(["modprobe", "nf_conntrack"], check=True)
    return int(BUCKETS.read_text())


def flush() -> None:
    """Forget the connections of the network namespace that we are in."""
    with NFCTSocket() as table:
        table.flush()


@contextmanager
def _changed(path: Path, value: int) -> Iterator[None]:
    before = path.read_text()
    path.write_text(str(value))
    try:
        yield
    finally:
        path.write_text(before)
