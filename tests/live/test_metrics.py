"""The metrics of a running gateway, its log beside them, and scrapers that want to harm it."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.live.conftest import PUBLIC, Network
from tests.live.observed import LIMIT, running, talk, until

pytestmark = pytest.mark.live

PORT = 9477
MORE = f'[metrics]\nlisten = "127.0.0.1:{PORT}"\n'


def connect(network: Network) -> socket.socket:
    with network.at("gw"):
        link = socket.socket()
    link.settimeout(LIMIT)
    link.connect(("127.0.0.1", PORT))
    return link


def scrape(network: Network) -> dict[tuple[str, tuple[str, ...]], float]:
    with connect(network) as link:
        link.sendall(b"GET /metrics HTTP/1.1\r\nHost: gateway\r\n\r\n")
        received = b""
        while chunk := link.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK"), head
    return {
        (sample.name, tuple(sample.labels[key] for key in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
def test_the_metrics_count_what_passes_by_the_engine_and_by_the_fast_path(
    network: Network, tmp_path: Path, plane: str
):
    with running(network, tmp_path, MORE, plane) as gateway:
        until(lambda: _listens(network), "the metrics")
        talk(network, 4000, datagrams=200)
        until(lambda: scrape(network)["ipmasq_flows", ()] == 1, "a flow")

        def forwarded() -> float:
            found = scrape(network)
            engine = found["ipmasq_packets_total", ("translated",)]
            return engine + found["ipmasq_fast_path_packets_total", ()]

        until(lambda: forwarded() >= 400, "all packets, once the fast path was read")
        found = scrape(network)
        assert found["ipmasq_public_ports_used", (PUBLIC, "udp")] == 1
        assert found["ipmasq_flows_opened_total", ("masquerade",)] == 1
        assert found["ipmasq_engine_packet_seconds_count", ()] > 0
        fast = found["ipmasq_fast_path_packets_total", ()]
        assert fast > 300 if plane == "ebpf-tc" else fast == 0
        assert (found["ipmasq_fast_path_flows", ()] > 0) is (plane == "ebpf-tc")
        gateway.reload()
        until(lambda: scrape(network)["ipmasq_config_reloads_total", ("applied",)] == 1, "a reload")
    lines = gateway.log.read_text().splitlines()
    said = [json.loads(line) for line in lines]  # it goes to a file
    assert {"time", "level", "message"} <= set().union(*said)


def _listens(network: Network) -> bool:
    try:
        connect(network).close()
    except ConnectionRefusedError:
        return False
    return True


def test_hostile_scrapers_stop_neither_packets_nor_a_scraper_that_behaves(
    network: Network, tmp_path: Path
):
    with running(network, tmp_path, MORE), ExitStack() as links:
        until(lambda: _listens(network), "the metrics")
        for number in range(60):
            link = links.enter_context(connect(network))
            link.setblocking(False)
            try:
                if number % 3 == 0:
                    link.send(b"GET /metrics HTTP/1.1\r\n")  # and never the rest
                elif number % 3 == 1:
                    link.send(bytes(range(256)) * 100)
                else:
                    link.send(b"GET /metrics HTTP/1.1\r\n\r\n" * 50)  # and never reads
            except OSError:
                continue  # it was closed for a newer one
        talk(network, 4000, datagrams=50)
        passed = "ipmasq_packets_total", ("translated",)
        until(lambda: scrape(network)[passed] >= 100, "a document of now")
        found = scrape(network)
        assert found["ipmasq_scrape_connections_refused_total", ()] > 0
        assert found["ipmasq_failures_total", ()] == 0
