"""Scrapers, well-behaved and hostile."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from ipmasq.core.side import Side
from ipmasq.metrics import server
from ipmasq.metrics.document import FRESH
from ipmasq.metrics.server import MOST, MetricsError
from ipmasq.wire.addresses import Endpoint, to_address
from tests.conformance import packets
from tests.control.running import IN1, OUT1
from tests.metrics.running import GET, Running, running, turning

LOOPBACK = to_address("127.0.0.1")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as gateway:
        yield gateway


def scrapers(gateway: Running) -> int:
    assert gateway.metrics._server is not None
    return gateway.metrics._server.scrapers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_real_client_reads_the_metrics_over_tcp(gateway: Running):
    where = Endpoint(LOOPBACK, free_port())
    gateway.metrics.follow(where)
    assert not Path(gateway.path).exists()
    with turning(gateway), urllib.request.urlopen(f"http://{where}/metrics", timeout=20) as answer:
        assert answer.status == 200
        assert b"ipmasq_flows 0.0" in answer.read()


def test_metrics_that_are_no_longer_wanted_are_not_served_and_nothing_is_measured(gateway: Running):
    drive = gateway.gateway._drive
    assert drive.receive != drive.engine.receive
    gateway.metrics.follow(None)
    assert drive.receive == drive.engine.receive
    assert all(each.call is None for each in drive.engine.manager.registered.values())
    assert not Path(gateway.path).exists()
    gateway.metrics.follow(gateway.path)
    assert gateway.ask()[0].startswith(b"HTTP/1.1 200 ")


def test_where_another_program_listens_metrics_do_not_and_they_stay_where_they_are(
    gateway: Running,
):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        where = Endpoint(LOOPBACK, other.getsockname()[1])
        with pytest.raises(MetricsError, match="Address already in use"):
            server.Server(gateway.loop, lambda: iter(()), int).open(where)
        gateway.metrics.follow(where)
    assert gateway.ask()[0].startswith(b"HTTP/1.1 200 ")


def test_a_socket_that_a_crash_left_is_replaced_and_another_file_is_not(tmp_path: Path):
    path = tmp_path / "metrics.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with running(tmp_path) as gateway:
        assert gateway.ask()[0].startswith(b"HTTP/1.1 200 ")
    path.write_text("precious")
    with pytest.raises(MetricsError), running(tmp_path):
        pass
    assert path.read_text() == "precious"


def test_all_scrapers_within_a_second_get_the_same_document(gateway: Running):
    gateway.loop.clock = lambda: 1000.0  # type: ignore[method-assign]
    document = gateway.metrics._server._documents  # type: ignore[union-attr]
    for each in document.values():
        each._clock = gateway.loop.clock
    first = gateway.ask()
    gateway.send(packets.udp(IN1, 5000, OUT1, 53))
    assert gateway.ask() == first
    for each in document.values():
        each._clock = lambda: 1000.0 + FRESH
    assert b"ipmasq_flows 1.0" in gateway.ask()[1]


def test_packets_have_their_turn_between_two_steps_of_a_document(gateway: Running):
    drive, handled = gateway.gateway._drive, 0
    with gateway.connect() as link:
        link.send(GET)
        while scrapers(gateway) == 0 or gateway.loop.clock() is None or handled < 40:
            gateway.round()
            gateway.send(packets.udp(IN1, 5000, OUT1, 53))
            handled += 1
            with pytest.raises(BlockingIOError):
                link.recv(1)
        gateway.read(link)
    assert drive.engine.counts[0] == handled


def test_one_more_than_there_is_room_for_closes_the_one_that_came_first(gateway: Running):
    silent = [gateway.connect() for _ in range(MOST)]
    for _ in silent:
        gateway.round()
    assert scrapers(gateway) == MOST
    assert gateway.ask()[0].startswith(b"HTTP/1.1 200 ")
    assert silent[0].recv(1) == b""
    assert gateway.values()["ipmasq_scrape_connections_refused_total", ()] >= 1
    for link in silent:
        link.close()


def test_a_scraper_that_is_too_slow_to_ask_or_to_read_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "LONGEST", 0.05)
    with running(tmp_path) as gateway:
        slow = gateway.connect()
        slow.send(GET[:20])
        assert gateway.read(slow) == b""
        deaf = gateway.connect()
        deaf.send(GET)
        for _ in range(5000):
            gateway.round()
            if scrapers(gateway) == 0:
                break
        assert scrapers(gateway) == 0
        slow.close()
        deaf.close()


def test_garbage_is_answered_or_closed_and_the_next_one_is_served(gateway: Running):
    random = Random(7)
    for size in (0, 1, 10, 1000, 20_000):
        with gateway.connect() as link:
            link.send(random.randbytes(size))
            link.shutdown(socket.SHUT_WR)
            received = gateway.read(link)
            assert not received or received.startswith(b"HTTP/1.1 4")
    assert scrapers(gateway) == 0
    assert gateway.ask()[0].startswith(b"HTTP/1.1 200 ")


def test_a_scraper_that_hangs_up_in_between_leaves_nothing(gateway: Running):
    for rounds in range(8):
        with gateway.connect() as link:
            link.send(GET)
            for _ in range(rounds):
                gateway.round()
    for _ in range(200):
        gateway.round()
    assert scrapers(gateway) == 0


def test_a_failure_while_collecting_is_an_error_500_and_reported_once(gateway: Running):
    def fail() -> None:
        raise ValueError("broken")

    gateway.gateway.health = fail  # type: ignore[method-assign, assignment]
    assert gateway.ask()[0].startswith(b"HTTP/1.1 500 ")
    assert gateway.loop.failures.count == 1
    del gateway.gateway.health  # type: ignore[method-assign]
    assert gateway.ask()[0].startswith(b"HTTP/1.1 200 ")


def test_an_answer_goes_to_outside_hosts_as_before(gateway: Running):
    """Measuring changes no verdict."""
    gateway.send(packets.udp(IN1, 5000, OUT1, 53))
    (flow,) = gateway.gateway.engine.flows()
    back = packets.udp(OUT1, 53, flow.public.address, flow.public.port)
    gateway.send(back, Side.OUTSIDE)
    (flow,) = gateway.gateway.engine.flows()
    assert flow.packets_in == 1
