"""An FTP data connection that the helper has opened, beside one that is any other connection."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from tests.bench.figures import Figure, bench
from tests.bench.topology import OUTSIDE, network
from tests.bench.ways import WAYS

SIZE = 1 << 30
HELPED, PLAIN = "21", "2121"
"""Control ports: one for the helper, and one that it does not know, where the client connects itself."""


@bench("bulk.ftp")
def bulk(runs: int) -> Iterator[Figure]:
    """Both through the same `ipmasq`, in turn, from outside to inside."""
    server = ("tests.bench.ftp_server", OUTSIDE, str(SIZE), HELPED, PLAIN)
    active, passive = f"active:{HELPED}", f"passive:{PLAIN}"
    client = ("tests.bench.ftp_client", OUTSIDE, active, passive, passive, active)
    helped, plain = [], []
    with network() as wires, wires.running("out", sys.executable, "-m", *server, ready="ready"):
        for _ in range(runs):
            with WAYS["ebpf"](wires):
                fetched = json.loads(wires.run("in", sys.executable, "-m", *client))
            assert {size for size, _ in fetched} == {SIZE}
            first, second, third, fourth = (rate for _, rate in fetched)
            helped.append((first + fourth) / 2)
            plain.append((second + third) / 2)
    yield Figure("bulk.ftp.data.gbps", "Gbit/s", helped, "bulk.ftp.plain.gbps")
    yield Figure("bulk.ftp.plain.gbps", "Gbit/s", plain)
