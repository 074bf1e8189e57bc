"""Metrics of the gateway's own store."""

from __future__ import annotations

import time
from pathlib import Path

from ipmasq.continuity.store import StoreError
from ipmasq.gateway.keeping import Keeping
from tests.conformance import packets
from tests.control.running import IN1, OUT1
from tests.metrics.running import Running, running

RECORDS = "ipmasq_state_records_total", ()


def begin(gateway: Running) -> Keeping:
    keeping = gateway.gateway.keeping
    assert keeping is not None
    keeping.begin(gateway.gateway._drive)
    return keeping


def test_what_is_written_is_counted(tmp_path: Path):
    with running(tmp_path) as gateway:
        begin(gateway)
        before = found = gateway.values()
        gateway.send(packets.udp(IN1, 5000, OUT1, 53))
        deadline = time.monotonic() + 10
        while found[RECORDS] == before[RECORDS] and time.monotonic() < deadline:
            found = gateway.values()
    assert found["ipmasq_state_kept", ()] == 1
    assert found["ipmasq_state_failures_total", ()] == 0
    assert found["ipmasq_state_bytes", ()] > 0
    assert found[RECORDS] > before[RECORDS]


def test_a_store_that_fails_is_seen(tmp_path: Path):
    with running(tmp_path) as gateway:
        keeping = begin(gateway)
        assert keeping._writer is not None
        keeping._writer.failed(StoreError("the disk is full"), gateway.loop.clock())
        found = gateway.values()
    assert found["ipmasq_state_kept", ()] == 0
    assert found["ipmasq_state_failures_total", ()] == 1


def test_a_gateway_that_keeps_nothing_has_no_samples(tmp_path: Path):
    with running(tmp_path, "[state]\nkeep = false\n") as gateway:
        found = gateway.values()
    assert not [name for name, _ in found if name.startswith("ipmasq_state")]
