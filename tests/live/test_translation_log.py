"""The translation log of a running gateway: in a file that is rotated, and as a real syslog server reads it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.conftest import PUBLIC, REMOTE, Network
from tests.live.observed import CONFIG, running, spawn, stop, talk, until

pytestmark = pytest.mark.live

SERVER = """
module(load="imudp")
template(name="parts" type="string"
         string="%app-name%|%msgid%|%syslogfacility-text%|%syslogseverity-text%|%timereported:::date-rfc3339%|%msg%\\n")
input(type="imudp" address="127.0.0.1" port="5140")
action(type="omfile" file="{file}" template="parts")
"""
LOGGER = """
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" socket="{socket}")
template(name="parts" type="string" string="%programname%|%syslogfacility-text%|%msg%\\n")
action(type="omfile" file="{file}" template="parts")
"""


@contextmanager
def rsyslogd(network: Network, directory: Path, config: str) -> Iterator[Path]:
    """A syslog server in the gateway's namespace. Yields the file to which it writes."""
    received, file = directory / "received", directory / "rsyslog.conf"
    file.write_text(config.format(file=received, socket=directory / "log.sock"))
    command = ["rsyslogd", "-n", "-f", str(file), "-i", str(directory / "rsyslog.pid")]
    with (directory / "rsyslog.log").open("w") as log:
        process = spawn(network, "gw", log, *command)
    try:
        yield received
    finally:
        stop(process)


def records(file: Path) -> list[dict[str, object]]:
    if not file.exists():
        return []
    found = [json.loads(line) for line in file.read_text().splitlines()]
    return [each for each in found if not str(each["event"]).startswith("log_")]


def test_records_are_in_the_file_also_after_logrotate_and_a_faulty_configuration(
    network: Network, tmp_path: Path
):
    file = tmp_path / "translations.json"
    more = f'[translation_log]\nfile = "{file}"\n'
    with running(network, tmp_path, more) as gateway:
        public = talk(network, 4000)
        until(lambda: len(records(file)) == 1, "a record")
        (record,) = records(file)
        assert (record["event"], record["inside_port"]) == ("mapping_opened", 4000)
        assert (record["public"], record["public_port"]) == public
        assert REMOTE not in file.read_text()
        file.rename(tmp_path / "translations.json.1")
        gateway.reload()
        talk(network, 4001)
        until(lambda: len(records(file)) == 1, "a record in the new file")
        file.rename(tmp_path / "translations.json.2")
        gateway.reload("nonsense")  # which is refused
        talk(network, 4002)
        until(lambda: len(records(file)) == 1, "a record in the newest file")
        assert len(records(tmp_path / "translations.json.1")) == 1
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(20)
        ended = [each for each in records(file) if each["event"] == "mapping_closed"]
        assert {each["inside_port"] for each in ended} == {4000, 4001, 4002}
        assert {each["reason"] for each in ended} == {"log_stopped"}
        assert "Traceback" not in gateway.log.read_text()


def test_a_syslog_server_reads_every_part_of_a_message(network: Network, tmp_path: Path):
    with rsyslogd(network, tmp_path, SERVER) as received:
        more = '[translation_log]\nsyslog = "127.0.0.1:5140"\nfacility = "local3"\n'
        with running(network, tmp_path, more):
            talk(network, 4000)
            until(lambda: received.exists() and "opened" in received.read_text(), "a message")
        until(lambda: "log_stopped" in received.read_text(), "the last message")
    lines = [line.split("|") for line in received.read_text().splitlines()]
    lines = [line for line in lines if "mapping" in line[1]]
    assert [line[1] for line in lines] == ["mapping_opened", "mapping_closed"]
    for app, event, facility, severity, time, text in lines:
        assert (app, facility, severity) == ("ipmasq", "local3", "info")
        said = json.loads(text)
        assert (said["event"], said["public"]) == (event, PUBLIC)
        assert time[:19] == said["time"][:19] or not time.endswith("Z")


def test_the_local_logger_reads_it_too(network: Network, tmp_path: Path):
    with rsyslogd(network, tmp_path, LOGGER) as received:
        until((tmp_path / "log.sock").exists, "the logger")
        more = f'[translation_log]\nsyslog = "{tmp_path}/log.sock"\n'
        with running(network, tmp_path, more):
            talk(network, 4000)
            until(lambda: received.exists() and "opened" in received.read_text(), "a message")
    line = next(line for line in received.read_text().splitlines() if "opened" in line)
    program, facility, text = line.split("|")
    assert (program, facility) == ("ipmasq", "local0")
    assert json.loads(text)["inside_port"] == 4000


def test_a_log_that_cannot_be_written_is_named_before_the_gateway_serves(
    network: Network, tmp_path: Path
):
    config = tmp_path / "gateway.toml"
    more = f'[translation_log]\nfile = "{tmp_path}/none/here/log"\n'
    config.write_text(CONFIG.format(plane="tun", directory=tmp_path) + more)
    log = tmp_path / "log"
    before = network.ip("gw", "rule")
    with log.open("w") as output:
        process = spawn(network, "gw", output, sys.executable, "-m", "ipmasq", "run", str(config))
    assert process.wait(30) == 3
    assert f"there is no directory {tmp_path}/none" in log.read_text()
    assert network.ip("gw", "rule") == before
