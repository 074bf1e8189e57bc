"""What browsers are told, and how they continue after a break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from ipmasq.front.upstream import Upstream
from ipmasq.front.web.feed import HAPPENED, HAPPENED_SIZE, SUMMARIES, Feed
from tests.control.running import Running, conversation, running
from tests.front.web.serving import Served, served


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "control.sock") as gateway:
        yield gateway


def feed() -> Feed:
    return Feed(Upstream("/nowhere"))


def test_who_comes_first_gets_all_that_is_kept_in_order():
    told = feed()
    for number in range(5):
        told.add("summary", {"n": number})
        told.add("happened", {"n": number})
    found = told.since(told.position(None))
    assert [message.number for message in found] == list(range(1, 11))


def test_who_comes_back_continues_after_the_last_message():
    told = feed()
    for number in range(10):
        told.add("happened", {"n": number})
    found = told.since(told.position(f"{told.name}-7"))
    assert [json.loads(message.data)["n"] for message in found] == [7, 8, 9]


@pytest.mark.parametrize(
    "id_", ["", "-", "x-3", "3", "other-3", "{}-x", "{}--1", "{}-\u0663", "{}-" + "9" * 40]
)
def test_an_id_of_another_process_or_none_begins_anew(id_: str):
    told = feed()
    told.add("summary", {})
    assert told.position(id_.format(told.name)) == 0


def test_an_id_of_the_future_is_that_of_now():
    told = feed()
    told.add("summary", {})
    assert told.position(f"{told.name}-99") == 1


def test_what_is_kept_is_bounded_and_each_kind_has_its_own_room():
    told = feed()
    for number in range(5000):
        told.add("happened", {"n": number})
    told.add("summary", {"n": 1})
    for number in range(2000):
        told.add("summary", {"n": number})
    assert len(told.since(0)) == HAPPENED + SUMMARIES


def test_a_slow_reader_gets_the_latest_and_no_queue():
    async def read() -> list[int]:
        told = feed()
        told.add("happened", {"n": 0})
        messages = told.messages(0)
        sizes = [len(await anext(messages))]
        for number in range(10_000):
            told.add("happened", {"n": number})
        sizes.append(len(await anext(messages)))
        told.add("happened", {"n": 1})
        sizes.append(len(await anext(messages)))
        await messages.aclose()
        return sizes

    assert asyncio.run(read()) == [1, HAPPENED, 1]


def test_a_gateway_that_is_gone_is_told_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ipmasq.front.web.feed.RETRY", 0.01)

    async def run() -> list[str]:
        told = feed()
        following = asyncio.ensure_future(told.run())
        async with asyncio.timeout(30):
            while not told.since(0):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # it is tried again and again
        following.cancel()
        return [message.kind for message in told.since(0)]

    assert asyncio.run(run()) == ["happened", "gateway"]


def test_a_gateway_that_was_gone_and_is_back_is_told_among_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ipmasq.front.web.feed.RETRY", 0.3)
    path = tmp_path / "control.sock"
    with served(str(path)) as pages:
        coming = messages(stream(pages))
        assert '"event":"gateway_lost"' in next(coming)["data"]
        with running(path):
            found = next(each["data"] for each in coming if "gateway_found" in each["data"])
            assert "the gateway answers again" in found


def stream(pages: Served, last: str | None = None) -> HTTPResponse:
    link = HTTPConnection("127.0.0.1", pages.port, timeout=30)
    link.request("GET", "/api/events", headers={"Last-Event-ID": last} if last else {})
    return link.getresponse()


def messages(answer: HTTPResponse) -> Iterator[dict[str, str]]:
    said: dict[str, str] = {}
    while line := answer.readline().decode():
        name, _, value = line.rstrip("\n").partition(": ")
        if line == "\n" and "data" in said:
            yield said
        said = {} if line == "\n" else {**said, name: value}


def test_a_browser_that_was_disconnected_misses_no_event(gateway: Running):
    with served(gateway.path) as pages:
        first = messages(stream(pages))
        conversation(gateway, [b"ask one\r\n"])
        last = next(each["id"] for each in first if '"before":"ask one' in each["data"])
        number = max(gateway.engine.table.flows)
        gateway.do(lambda: gateway.gateway.close(number))
        conversation(gateway, [b"ask two\r\n"])
        for each in messages(stream(pages, last)):
            assert "ask one" not in each["data"]
            if '"before":"ask two' in each["data"]:
                break


def test_events_of_a_gateway_that_began_anew_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What it did before it could be asked is told, too, and nothing twice."""
    monkeypatch.setattr("ipmasq.front.web.feed.RETRY", 0.3)
    path = tmp_path / "control.sock"
    with served(str(path)) as pages:
        coming = messages(stream(pages))
        for asked in (b"one", b"two", b"three"):
            with running(path) as gateway:
                conversation(gateway, [b"ask " + asked + b"\r\n"])
                found = next(each for each in coming if '"before":"ask' in each["data"])
                assert f"ask {asked.decode()}" in found["data"]


def test_events_are_told_once_though_the_connection_to_the_gateway_breaks(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ipmasq.front.web.feed.RETRY", 0.05)
    with served(gateway.path) as pages:
        coming = messages(stream(pages))
        number = conversation(gateway, [b"ask one\r\n"])
        told = [next(each for each in coming if '"before":"ask one' in each["data"])]

        def disconnect() -> None:
            for client in list(gateway.control.server._clients.values()):
                gateway.control.server._drop(client)

        gateway.do(disconnect)
        gateway.do(lambda: gateway.gateway.close(number))
        conversation(gateway, [b"ask two\r\n"])
        for each in coming:
            told.append(each)
            if '"before":"ask two' in each["data"]:
                break
    assert sum('"before":"ask one' in each["data"] for each in told) == 1


def test_the_feed_asks_the_gateway_once_whatever_the_number_of_browsers(gateway: Running):
    with served(gateway.path) as pages:
        streams = [messages(stream(pages)) for _ in range(10)]
        for each in streams:
            while next(each)["event"] != "summary":
                pass
        assert gateway.control.server.clients == 2


def test_long_events_are_fewer_so_that_a_browser_is_never_sent_much():
    told = feed()
    for number in range(300):
        told.add("happened", {"n": number, "before": "\xff" * 2000})
    found = [json.loads(message.data)["n"] for message in told.since(0)]
    assert 50 < len(found) < 100
    assert found[-1] == 299
    assert sum(len(message.data) for message in told.since(0)) <= HAPPENED_SIZE
    told.add("happened", {"n": 300})
    assert json.loads(told.since(0)[-1].data)["n"] == 300
