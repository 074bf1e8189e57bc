"""Events over the socket, and which of them are lost when nobody reads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from ipmasq.control.client import PATIENCE, Client
from ipmasq.control.protocol import Kind, RequestError
from ipmasq.core import events
from ipmasq.core.events import ForwardAdded
from ipmasq.core.flow import Flow
from tests.conformance import packets
from tests.control.refusals import refusal
from tests.control.running import E1, IN1, IN2, Running, conversation


def until(rows: Iterator[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    seen = []
    for row in rows:
        seen.append(row)
        if row["event"] == name:
            return seen
    raise AssertionError(f"no {name}: {seen}")


def test_a_rewrite_is_told_with_before_and_after(gateway: Running, client: Client):
    watch = client.watch(PATIENCE, last=1000)
    number = conversation(gateway, [b"ask me\r\n", b"refuse me\r\n", b"raise hell\r\n"])
    seen = {row["event"]: row for row in until(watch, "helper_failed")}
    assert seen["rewritten"]["before"] == "ask me\r\n"
    assert seen["rewritten"]["after"] == "query\x1b me\r\n"
    assert seen["rewritten"]["flow"] == number
    assert seen["rewritten"]["speaker"] == "client"
    assert seen["refused"]["reason"] == "asked for it"
    assert seen["helper_failed"]["error"] == "RuntimeError: no such luck"
    assert seen["flow_opened"]["public"]["address"] == "203.0.113.1"


def test_a_watcher_hears_only_what_it_asked_for(gateway: Running, client: Client):
    gateway.open_udp(IN1, 5000)
    followed = gateway.open_udp(IN2, 5000)
    watch = client.watch(PATIENCE, host="10.0.0.3", events=["flow_opened", "flow_closed"])
    with Client(gateway.path) as other:
        list(other.rows("forwards"))  # the watch stood before this in the gateway's queue
    gateway.open_udp(IN1, 5001)
    opened = gateway.open_udp(IN2, 5001)
    gateway.do(lambda: gateway.engine.close(followed, gateway.loop.clock()))
    told = until(watch, "flow_closed")
    assert [(row["event"], row["flow"]) for row in told] == [
        ("flow_opened", opened),
        ("flow_closed", followed),
    ]


def test_last_counts_the_events_that_the_filters_admit(gateway: Running, client: Client):
    wanted = [gateway.open_udp(IN2, port) for port in range(5000, 5004)]
    for port in range(5000, 5050):
        gateway.open_udp(IN1, port)
    gateway.do(lambda: gateway.engine.close(wanted[2], gateway.loop.clock()))
    filters = {"host": "10.0.0.3", "events": ["flow_opened"], "last": 3}
    told = list(islice(client.watch(PATIENCE, **filters), 3))
    assert [row["flow"] for row in told] == wanted[1:]
    told = list(islice(client.watch(PATIENCE, flow=wanted[2], last=2), 2))
    assert [row["event"] for row in told] == ["flow_opened", "flow_closed"]


def test_a_watcher_of_a_host_is_told_of_hairpin_flows_to_it(gateway: Running, client: Client):
    """Host 10.0.0.3 serves port 80, which is published."""
    number = hairpin(gateway)
    (opened,) = islice(client.watch(PATIENCE, host="10.0.0.3", last=1), 1)
    assert (opened["event"], opened["flow"]) == ("flow_opened", number)
    assert opened["remote"] == {"address": "203.0.113.1", "port": 8080}
    assert opened["remote_real"] == {"address": "10.0.0.3", "port": 80}
    assert opened["text"].endswith("with 203.0.113.1:8080, which is 10.0.0.3:80")


def hairpin(gateway: Running) -> int:
    gateway.send(packets.tcp(IN1, 4000, E1, 8080, packets.SYN, 100))
    return max(gateway.engine.table.flows)


def test_a_watcher_of_a_flow_knows_its_data_flows_that_are_alive(gateway: Running, client: Client):
    control, data = gateway.open_udp(IN1, 5000), gateway.open_udp(IN1, 5001)
    gateway.do(lambda: link(gateway.engine.table.flows, control, data))
    watch = client.watch(PATIENCE, flow=control, last=1)
    opened = next(watch)
    gateway.do(lambda: gateway.engine.close(data, gateway.loop.clock()))
    closed = next(watch)
    assert [opened["event"], closed["event"]] == ["flow_opened", "flow_closed"]
    assert [opened["flow"], closed["flow"]] == [data, data]


def link(flows: dict[int, Flow], control: int, data: int) -> None:
    flows[data].master = control
    flows[control].links += 1


def test_a_watcher_of_an_unknown_event_is_told_which_there_are(client: Client):
    with pytest.raises(RequestError) as caught:
        list(client.watch(PATIENCE, events=["flow_open"]))
    assert caught.value.kind is Kind.BAD_ARGUMENT
    assert "flow_opened" in caught.value.message


def test_a_watcher_that_reads_late_is_told_how_many_events_it_missed(gateway: Running):
    with Client(gateway.path) as client:
        watch = client.watch(PATIENCE, last=1)
        gateway.do(lambda: gateway.control.observe([ForwardAdded(0.0, "first")]))
        assert next(watch)["name"] == "first"
        names = [[ForwardAdded(0.0, f"{'n' * 500}{turn}")] * 100 for turn in range(200)]
        for some in names:
            gateway.do(lambda some=some: gateway.control.observe(some))
        gateway.do(lambda: gateway.control.observe([events.ForwardRemoved(0.0, "last")]))
        told = until(watch, "forward_removed")
    lost = sum(row["count"] for row in told if row["event"] == "events_lost")
    added = sum(row["event"] == "forward_added" for row in told)
    assert lost > 0
    assert lost + added == 20_000


def test_a_watcher_may_wait_for_a_limited_time_only(client: Client):
    assert list(client.watch(0.05)) == []


def test_more_past_events_than_anybody_could_mean_are_refused_with_a_sentence(client: Client):
    refused = refusal(client, "watch", last=10**30)
    assert refused.kind is Kind.BAD_ARGUMENT
    assert "last: " in str(refused)
    assert "is too large; at most 1000000" in str(refused)
