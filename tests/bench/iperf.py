"""iperf3 from inside to outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.bench.topology import OUTSIDE, Network, on_one_processor

SECONDS = "1.5"
PORT = "5201"
CLIENT = ("iperf3", "-c", OUTSIDE, "-p", PORT)
SERVER = ("iperf3", "-s", "-p", PORT, "--forceflush")
LISTENS = "listening"
LOAD = "300M"
"""Bits per second: 27,000 datagrams of 1,400 bytes."""


def gigabits(wires: Network, streams: int) -> float:
    """Gbit/s of TCP that arrive."""
    return float(_iperf(wires, "-P", str(streams))["sum_received"]["bits_per_second"] / 1e9)


def datagrams(wires: Network, size: int = 64) -> float:
    """Datagrams per second that arrive, if as many as possible are sent."""
    total = _iperf(wires, "-u", "-b", "0", "-l", str(size))["sum"]
    return float((total["packets"] - total["lost_packets"]) / total["seconds"])


@contextmanager
def load(wires: Network) -> Iterator[None]:
    """A steady stream of datagrams."""
    stream = ("-t", "3600", "--forceflush", "-u", "-b", LOAD, "-l", "1400")
    client = on_one_processor(*CLIENT, *stream)
    with (
        wires.running("out", *on_one_processor(*SERVER), ready=LISTENS),
        wires.running("in", *client, ready="connected"),
    ):
        yield


def _iperf(wires: Network, *options: str) -> Any:
    with wires.running("out", *SERVER, ready=LISTENS):
        said = wires.run("in", *CLIENT, "-t", SECONDS, "-J", *options)
    return json.loads(said)["end"]
