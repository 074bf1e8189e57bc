"""The translation log of a real gateway, under load and while files and servers change."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from ipmasq.config.model import TranslationLogTable
from ipmasq.core.side import Side
from ipmasq.translations.log import TranslationLogError
from ipmasq.translations.outlet import LAST, Outlet
from tests.conformance import packets
from tests.control.running import IN1, IN2, OUT1
from tests.translations.running import Logged, lines, receiver, records

WIDE = "[limits]\nports_per_host = 60_000\n"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Logged]:
    made = Logged(tmp_path)
    yield made
    made.log.close()


def events(found: list[dict[str, object]]) -> list[object]:
    return [each["event"] for each in found]


def test_a_mapping_is_recorded_when_it_begins_and_when_it_ends(gateway: Logged):
    gateway.open()
    gateway.send(packets.udp(IN1, 5000, OUT1, 53))
    gateway.send(packets.udp(IN1, 5000, OUT1, 54))
    (first, second) = gateway.gateway.engine.flows()
    gateway.gateway.close(first.id)
    gateway.round()
    gateway.gateway.close(second.id)
    gateway.round()
    opened, closed = gateway.close()
    assert (opened["event"], closed["event"]) == ("mapping_opened", "mapping_closed")
    assert (closed["inside"], closed["inside_port"]) == ("10.0.0.2", 5000)
    assert closed["public_port"] == opened["public_port"] == first.public.port
    assert closed["opened"] == opened["time"]
    assert closed["reason"] == "operator"


@pytest.mark.row("6888-12")
def test_destinations_are_recorded_only_if_they_are_asked_for(gateway: Logged):
    gateway.open()
    gateway.send(packets.udp(IN1, 5000, OUT1, 53))
    gateway.close()
    assert "198.51.100.1" not in gateway.file.read_text()
    gateway.open(destinations=True)
    gateway.close()
    assert '"remote": "198.51.100.1", "remote_port": 53' in gateway.file.read_text()


def test_flows_that_are_older_than_the_log_are_recorded_with_when_they_were_opened(
    gateway: Logged,
):
    for port in range(5000, 5060):
        gateway.send(packets.udp(IN1, port, OUT1, 53))
    began = time.time()
    gateway.until(lambda: time.time() > began + 0.002)  # records have milliseconds
    gateway.open()  # before their events were told
    gateway.send(packets.udp(IN2, 5000, OUT1, 53))
    gateway.until(lambda: len(gateway.log._translations) == 61)
    found = gateway.close()
    assert Counter(events(found)) == {"mapping_opened": 61, "mapping_closed": 61}
    old = [each for each in found if each["event"] == "mapping_opened" and "opened" in each]
    assert len(old) == 60
    assert all(each["opened"] < each["time"] for each in old)


def test_a_log_file_that_logrotate_has_renamed_is_left_at_the_next_reload(
    gateway: Logged, tmp_path: Path
):
    gateway.open()
    gateway.send(packets.udp(IN1, 5000, OUT1, 53))
    gateway.until(lambda: len(records(gateway.file)) == 1)
    gateway.file.rename(tmp_path / "translations.json.1")
    gateway.log.reopen()
    gateway.send(packets.udp(IN1, 5001, OUT1, 53))
    gateway.until(lambda: gateway.file.exists() and len(records(gateway.file)) == 1)
    assert len(records(tmp_path / "translations.json.1")) == 1
    assert events(gateway.close()) == ["mapping_opened", "mapping_closed", "mapping_closed"]


def test_a_changed_configuration_ends_one_log_and_begins_the_other_with_what_is_alive(
    gateway: Logged, tmp_path: Path
):
    gateway.open()
    gateway.send(packets.udp(IN1, 5000, OUT1, 53))
    gateway.round()
    other = tmp_path / "other.json"
    gateway.log.follow(TranslationLogTable(file=str(other)))
    gateway.until(lambda: other.exists() and len(records(other)) == 1)
    assert [each["event"] for each in lines(gateway.file)] == [
        "log_started",
        "mapping_opened",
        "mapping_closed",
        "log_stopped",
    ]
    gateway.log.follow(TranslationLogTable())
    gateway.until(lambda: len(lines(other)) == 4)


def test_a_file_that_cannot_be_opened_is_an_error_and_the_log_goes_on_as_it_is(
    gateway: Logged, tmp_path: Path
):
    gateway.open()
    impossible = TranslationLogTable(file=str(tmp_path / "none" / "here" / "log"))
    with pytest.raises(TranslationLogError, match="none/here/log: No such file or directory"):
        gateway.log.open(impossible)
    gateway.log.follow(impossible)
    gateway.send(packets.udp(IN1, 5000, OUT1, 53))
    gateway.round()
    assert len(gateway.close()) == 2


def test_a_full_disk_stops_no_packet_and_is_counted_and_reported(
    gateway: Logged, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ipmasq.translations.outlet.MOST", 5)
    written: list[str] = []
    monkeypatch.setattr(
        "ipmasq.translations.log.log.error", lambda text, *said, **_: written.append(text % said)
    )
    gateway.log.open(TranslationLogTable(file="/dev/full"))
    (outlet,) = gateway.log.outlets
    outlet._most = 5
    for port in range(5000, 5050):
        gateway.send(packets.udp(IN1, port, OUT1, 53))
        gateway.round()
    assert gateway.gateway.engine.counts[0] == 50
    gateway.until(lambda: bool(outlet.trouble))
    assert outlet.lost == 46  # all but five, of which one says that the log began
    gateway.log._look()
    (line,) = written
    assert "46 records of the translation log to /dev/full are lost: No space left" in line


def test_both_targets_get_every_record(gateway: Logged):
    with receiver() as server:
        address, port = server.getsockname()
        gateway.log.open(TranslationLogTable(file=str(gateway.file), syslog=f"{address}:{port}"))
        gateway.send(packets.udp(IN1, 5000, OUT1, 53))
        gateway.round()
        gateway.close()
        said = [server.recv(1000).decode() for _ in range(4)]
    assert [json.loads(each[each.index("{") :]) for each in said] == lines(gateway.file)


def test_a_successor_does_not_wait_for_a_target_that_does_not_take_what_is_written(
    gateway: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The target is a full pipe, read only after the gateway has left the log to a successor."""
    waited: list[float] = []
    join = Outlet.join

    def noted(outlet: Outlet, patience: float = LAST) -> None:
        waited.append(patience)
        join(outlet, patience)

    monkeypatch.setattr(Outlet, "join", noted)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    filler = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    filled = _fill(filler)
    gateway.log.open(TranslationLogTable(file=str(pipe)))
    gateway.send(packets.udp(IN1, 5000, OUT1, 53))
    gateway.round()
    (outlet,) = gateway.log.outlets
    gateway.until(lambda: outlet.waiting == 2)
    gateway.log.leave()
    assert not outlet.is_done
    assert sum(waited) < 0.05, "seconds for which packets wait, too"
    assert len(os.read(reader, filled)) == filled
    gateway.log.finish()
    found = [json.loads(each) for each in os.read(reader, 1 << 16).decode().splitlines()]
    assert [each["event"] for each in found] == ["log_started", "mapping_opened"]
    assert outlet.lost == 0
    os.close(filler)
    os.close(reader)


def test_a_log_that_the_configuration_has_ended_ends_also_if_a_successor_comes_at_once(
    gateway: Logged, tmp_path: Path
):
    gateway.open()
    for port in range(5000, 5060):
        gateway.send(packets.udp(IN1, port, OUT1, 53))
    gateway.until(lambda: len(gateway.log._translations) == 60)
    (outlet,) = gateway.log.outlets
    outlet._most = 1  # so that nothing has room for now
    gateway.log.follow(TranslationLogTable(file=str(tmp_path / "other.json")))
    gateway.log.leave()
    outlet._most = 1000
    gateway.log.finish()
    assert Counter(events(lines(gateway.file))) == {
        "log_started": 1, "mapping_opened": 60, "mapping_closed": 60, "log_stopped": 1
    }  # fmt: skip
    assert outlet.is_done


def _fill(pipe: int) -> int:
    """Fill a pipe. Return the number of bytes in it."""
    size = 0
    with suppress(BlockingIOError):
        while True:
            size += os.write(pipe, bytes(4096))
    return size


def test_events_that_were_lost_leave_no_translation_open_forever(gateway: Logged):
    gateway.open()
    for port in range(5000, 5010):
        gateway.send(packets.udp(IN1, port, OUT1, 53))
    gateway.round()
    engine = gateway.gateway.engine
    for view in list(engine.flows())[:4]:
        gateway.gateway.close(view.id)
    gateway.send(packets.udp(IN2, 6000, OUT1, 53))
    engine.events()  # they are gone
    engine.manager.events.lost += 1
    gateway.log._look()
    gateway.until(lambda: len(gateway.log._translations) == 7)
    found = gateway.close()
    assert Counter(each.get("reason") for each in found) == {
        None: 11,
        "unknown": 4,
        "log_stopped": 7,
    }


@pytest.mark.parametrize("destinations", [False, True])
def test_under_load_each_translation_is_recorded_once_at_its_start_and_once_at_its_end(
    tmp_path: Path, destinations: bool
):
    """Thousands of flows that open and close, received by a real socket; the counts are the engine's."""
    random, counted = Random(3), Counter[str]()
    gateway = Logged(tmp_path, WIDE)
    gateway.config.write_text(gateway.config.read_text().replace("20000-20099", "20000-59999"))
    policy = gateway.gateway._configuration.read().policy
    gateway.gateway.engine.apply(policy, gateway.loop.clock())
    gateway.gateway.listeners.append(
        lambda happened: counted.update(type(each).__name__ for each in happened)
    )
    path = tmp_path / "log"
    with receiver(path) as server:
        gateway.log.open(
            TranslationLogTable(file=str(gateway.file), syslog=str(path), destinations=destinations)
        )
        received: list[bytes] = []
        server.settimeout(0)

        def receive() -> None:
            while True:
                try:
                    received.append(server.recv(2000))
                except BlockingIOError:
                    return

        for _ in range(100):
            for _ in range(60):
                port = random.randrange(5000, 6000)
                gateway.send(packets.udp(IN1, port, OUT1, random.randrange(53, 57)))
            live = list(gateway.gateway.engine.table.flows)
            for flow in random.sample(live, min(len(live), 50)):
                gateway.gateway.close(flow)
            gateway.round()
            receive()
        outlet = gateway.log.outlets[1]
        gateway.log.end()
        gateway.until(lambda: (receive(), outlet.is_done)[1])
        receive()
        gateway.log.close()
    found = records(gateway.file)
    said = [json.loads(each[each.index(b"{") :]) for each in received]
    assert [each for each in said if not each["event"].startswith("log_")] == found
    open_now: set[tuple[object, ...]] = set()
    names = ("protocol", "inside", "inside_port", "public", "public_port", "remote", "remote_port")
    for record in found:
        key = tuple(record.get(name) for name in names)
        if record["event"].endswith("_opened"):
            assert key not in open_now
            open_now.add(key)
        else:
            open_now.remove(key)
    assert not open_now
    starts = sum(record["event"].endswith("_opened") for record in found)
    assert counted["FlowOpened"] > 3000
    if destinations:
        assert starts == counted["FlowOpened"]
    else:
        assert 1000 < starts < counted["FlowOpened"]


def test_a_finished_connection_gives_its_port_away_and_the_log_says_so_in_this_order(
    gateway: Logged,
):
    gateway.open()
    out = IN1, 4000, OUT1, 80
    gateway.send(packets.tcp(*out, packets.SYN, 100))
    (flow,) = gateway.gateway.engine.flows()
    back = OUT1, 80, flow.public.address, flow.public.port
    gateway.send(packets.tcp(*back, packets.SYN | packets.ACK, 500, 101), Side.OUTSIDE)
    gateway.send(packets.tcp(*out, packets.ACK, 101, 501))
    gateway.send(packets.tcp(*out, packets.FIN | packets.ACK, 101, 501))
    gateway.send(packets.tcp(*back, packets.FIN | packets.ACK, 501, 102), Side.OUTSIDE)
    gateway.send(packets.tcp(*out, packets.ACK, 102, 502))
    gateway.round()
    assert len(gateway.gateway.engine.table.flows) == 1
    assert not list(gateway.gateway.engine.table.mappings)
    assert len(gateway.log._translations) == 0
    found = gateway.close()
    assert events(found) == ["mapping_opened", "mapping_closed"]
    assert found[1]["reason"] == "finished"


def test_more_translations_than_the_queue_holds_all_begin_and_end_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """When the log begins and ends, the queue is filled no faster than it is written."""
    monkeypatch.setattr("ipmasq.translations.outlet.GATHERING", 0.001)
    gateway = Logged(tmp_path, WIDE)
    gateway.config.write_text(gateway.config.read_text().replace("20000-20099", "20000-59999"))
    policy = gateway.gateway._configuration.read().policy
    gateway.gateway.engine.apply(policy, gateway.loop.clock())
    for port in range(1024, 6024):
        gateway.send(packets.udp(IN1, port, OUT1, 53))
    gateway.round()
    gateway.open()
    (outlet,) = gateway.log.outlets
    outlet._most = 500
    gateway.until(lambda: len(gateway.log._translations) == 5000 and not gateway.log._feeds)
    found = gateway.close()
    assert Counter(events(found)) == {"mapping_opened": 5000, "mapping_closed": 5000}
    assert outlet.lost == 0


def test_a_target_that_takes_nothing_does_not_keep_the_gateway_from_stopping(
    gateway: Logged, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ipmasq.translations.log.PATIENCE", 0.05)
    gateway.log.open(TranslationLogTable(file="/dev/full"))
    (outlet,) = gateway.log.outlets
    outlet._most = 10
    for port in range(5000, 5050):
        gateway.send(packets.udp(IN1, port, OUT1, 53))
    gateway.round()
    gateway.log.close()
    assert outlet.is_done
    assert outlet.lost == 102  # all, with those about the log itself
