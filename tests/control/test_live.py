"""The busiest flows and hosts, and the summary that is renewed: for views that stay open."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from ipmasq.control import live, server
from ipmasq.control.answer import Pause, Peer
from ipmasq.control.client import Client
from ipmasq.control.protocol import Kind, RequestError
from ipmasq.core.engine import Engine
from ipmasq.core.restoring import compacted
from ipmasq.core.side import Side
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.planes.fastpath import Counter
from ipmasq.wire.addresses import to_address
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.control.running import IN1, IN2, OUT1, Running, conversation, running
from tests.core.restored import kept


def read_completely(gateway: Running, client: Client) -> None:
    """Wait until every flow was read once."""
    deadline = time.monotonic() + 30
    while not next(client.rows("summary"))["rates_complete"]:
        assert time.monotonic() < deadline


def test_the_top_list_begins_with_the_flow_of_the_highest_rate(gateway: Running, client: Client):
    gateway.open_many(20)
    busy = gateway.open_udp(port=1030)
    busy = next(view.id for view in gateway.engine.flows() if view.inside.port == 1030)
    gateway.send(packets.udp(IN1, 1030, OUT1, 53, bytes(1000)))
    read_completely(gateway, client)
    rows = list(client.rows("top", limit=5))
    assert len(rows) == 5
    assert rows[0]["id"] == busy
    assert rows[0]["rate_out"] >= rows[1]["rate_out"]
    assert next(client.rows("top", limit=1, by="bytes"))["id"] == busy


def test_the_top_list_leaves_out_flows_that_have_ended_since(gateway: Running, client: Client):
    flow = gateway.open_udp()
    other = gateway.open_udp(port=5001)
    read_completely(gateway, client)
    client.ask("close", flow=flow)
    assert flow not in [row["id"] for row in client.rows("top")]
    assert other in [row["id"] for row in client.rows("top")]


def test_the_list_of_all_flows_has_rates_while_a_view_has_them_read(
    gateway: Running, client: Client
):
    gateway.open_udp()
    assert "rate_out" not in next(client.rows("flows"))
    read_completely(gateway, client)
    gateway.send(packets.udp(IN1, 5000, OUT1, 53, bytes(1000)))
    deadline = time.monotonic() + 30
    while next(client.rows("flows"))["rate_out"] == 0:
        assert time.monotonic() < deadline
        next(client.rows("summary"))
    assert next(client.rows("flows"))["rate_in"] == 0


def test_one_flow_comes_with_the_flows_that_are_linked_to_it(gateway: Running, client: Client):
    control, data = gateway.open_udp(), gateway.open_udp(port=5001)

    def link() -> None:
        gateway.engine.table.flows[data].master = control
        gateway.engine.table.flows[control].links = 1

    gateway.do(link)
    gateway.open_many(100)
    assert [row["id"] for row in client.rows("flow", flow=control)] == [control, data]
    assert [row["id"] for row in client.rows("flow", flow=data)] == [data, control]
    with pytest.raises(RequestError, match="there is no flow 999"):
        client.ask("flow", flow=999)


def test_flows_that_a_helper_inspects_are_listed_without_the_others(
    gateway: Running, client: Client
):
    gateway.open_many(50)
    inspected = conversation(gateway, [b"ask\r\n"])
    read_completely(gateway, client)
    (row,) = client.rows("helped")
    assert (row["id"], row["helper"]) == (inspected, "finger")


def test_hosts_come_in_the_order_that_was_asked_for(gateway: Running, client: Client):
    gateway.open_many(3)
    gateway.send(packets.udp(IN2, 5000, OUT1, 53, bytes(1200)))
    read_completely(gateway, client)
    by_flows, by_bytes = (list(client.rows("hosts", by=by)) for by in ("flows", "bytes"))
    assert [(row["host"], row["flows"], row["ports"]) for row in by_flows] == [
        ("10.0.0.2", 3, 3),
        ("10.0.0.3", 1, 1),
    ]
    assert [row["host"] for row in by_bytes] == ["10.0.0.3", "10.0.0.2"]


def test_a_summary_counts_packets_by_who_handled_them(gateway: Running, client: Client):
    gateway.gateway.counted = (
        Counter("offloaded", 70, "forwarded"),
        Counter("dropped.inside.openings", 3, "too many", True),
        Counter("tc.no_entry", 9, "passed on"),
    )
    gateway.open_udp()
    gateway.send(packets.udp(IN1, 5000, to_address("198.51.100.99"), 53))
    (row,) = client.rows("summary")
    assert (row["packets_engine"], row["packets_fast_path"]) == (1, 70)
    assert row["dropped"] == {"rule_drop": 1, "dropped.inside.openings": 3}
    assert (row["flows"], row["flows_opened"], row["hosts"]) == (1, 1, 1)
    assert row["ports"] == {"tcp": 0, "udp": 1}


def test_flows_that_are_not_restored_yet_are_in_every_view(gateway: Running, client: Client):
    gateway.open_many(300)
    inspected = conversation(gateway, [b"ask\r\n"])
    before = {row["id"]: row["public"] for row in client.rows("flows")}

    def restart() -> int:
        engine, now = gateway.engine, gateway.loop.clock()
        others, compact = compacted(kept(engine, now))
        engine.become(
            Engine.from_records(engine.policy, Random(2).randrange, others, now, compact=compact)
        )
        return len(engine.table.flows)

    def waiting() -> int:
        table = gateway.engine.table
        return table.count - len(table.flows)

    assert gateway.do(restart) == 1, "only the one that a helper inspects is restored"
    row = next(client.rows("summary"))
    assert (row["flows"], row["hosts"], row["ports"]) == (301, 1, {"tcp": 1, "udp": 300})
    read_completely(gateway, client)
    assert gateway.do(waiting) == 0, "the survey has read them all"
    assert [row["flows"] for row in client.rows("hosts")] == [301]
    assert gateway.do(restart) == 1
    (row,) = client.rows("helped")
    assert row["id"] == inspected
    first = next(iter(before))
    (row,) = client.rows("flow", flow=first)
    assert (row["id"], row["public"]) == (first, before[first])
    assert gateway.do(waiting) > 0
    assert {row["id"] for row in client.rows("top", limit=1000)} == before.keys()
    assert gateway.do(restart) == 1
    assert {row["id"]: row["public"] for row in client.rows("flows")} == before
    assert gateway.do(restart) == 1
    assert len(list(client.rows("mappings"))) == 301


def test_a_summary_counts_what_obstructs_the_gateway_but_not_pings_alone(
    gateway: Running, client: Client
):
    found = Finding("nft inet filter", "drops", "add: ...", ("nft add",))
    gateway.gateway.firewall.found = (found, found._replace(only_pings=True))
    assert next(client.rows("summary"))["obstructions"] == 1
    status = next(client.rows("status"))
    assert [each["commands"] for each in status["obstructions"]] == [["nft add"], ["nft add"]]


def test_a_summary_is_renewed_as_often_as_asked(gateway: Running, client: Client):
    rows = client.rows("summary", every=0.1)
    first, second, third = (next(rows) for _ in range(3))
    assert second["time"] - first["time"] > 0.098  # they are rounded
    assert third["time"] - second["time"] > 0.098
    gateway.open_udp()
    while next(rows)["flows"] == 0:
        pass


def test_a_slow_client_gets_the_latest_state_and_no_queue(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "TICK", 0.001)
    with socket.socket(socket.AF_UNIX) as link, Client(gateway.path) as other:
        link.settimeout(30)
        link.connect(gateway.path)
        link.sendall(b'{"ipmasq": 1, "request": "summary", "arguments": {"every": 0.1}}\n')
        watched = link.makefile("rb", buffering=0)  # reads no more than a line
        assert json.loads(watched.readline())["row"]["flows"] == 0
        assert link.recv(1, socket.MSG_PEEK)  # one more row is made meanwhile, and waits unread
        for port in range(5000, 5010):
            gateway.open_udp(port=port)
        fast = other.rows("summary", every=0.1)
        assert [next(fast)["flows"] for _ in range(5)] == [10] * 5
        found = [json.loads(watched.readline())["row"]["flows"] for _ in range(2)]
        assert found == [0, 10]


def test_two_rows_are_as_far_apart_whatever_the_number_of_clients(gateway: Running):
    clients = [Client(gateway.path) for _ in range(20)]
    streams = [client.rows("summary", every=0.1) for client in clients]
    times = [[next(stream)["time"] for stream in streams] for _ in range(3)]
    for before, after in pairwise(times):
        assert all(b - a > 0.098 for a, b in zip(before, after, strict=True))
    for client in clients:
        client.close()


def test_hosts_and_flows_are_found_in_short_steps(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
):
    """However many there are: neither is all of a table examined in one step, nor copied for each who asks."""
    hosts, begun = 400, 30

    def come() -> None:
        for number in range(hosts):
            host = to_address(f"10.0.{number >> 8}.{number & 255}")
            packet = Packet(bytearray(packets.udp(host, 5000, OUT1, 53)))
            gateway.engine.receive(packet, Side.INSIDE, gateway.loop.clock())

    gateway.do(come)
    copies, copy = [], gateway.engine.table.numbers

    def noted() -> list[int]:
        copies.append(1)
        return copy()

    with Client(gateway.path) as client:
        while not list(client.rows("hosts", limit=1000)):
            time.sleep(0.01)
        while next(client.rows("summary"))["rates_complete"] is False:
            time.sleep(0.01)

    def steps(request: str, **given: object) -> list[object]:
        answer = gateway.control.answer(request, given, Peer(1, 0, 0))
        return gateway.do(lambda: list(answer))

    monkeypatch.setattr(gateway.engine.table, "numbers", noted)
    said = steps("hosts", limit=3, by="ports")
    assert said.count(Pause.LOOKED) >= hosts // live.HOSTS_AT_ONCE
    assert len([each for each in said if isinstance(each, dict)]) == 3
    for _ in range(begun):
        answer = gateway.control.answer("flows", {}, Peer(1, 0, 0))
        gateway.do(lambda answer=answer: [next(answer), answer.close()])
    assert len(copies) <= 1


def test_only_the_rows_of_the_list_are_made(gateway: Running, client: Client):
    gateway.open_many(5000)
    read_completely(gateway, client)
    asked = []
    real = gateway.engine.flow
    gateway.engine.flow = lambda number: asked.append(number) or real(number)  # type: ignore[method-assign,assignment,func-returns-value]
    assert len(list(client.rows("top", limit=10))) == 10
    assert len(asked) == 10


@pytest.mark.parametrize(
    ("request_", "given"),
    [
        ("top", {"limit": 0}),
        ("top", {"limit": 1001}),
        ("top", {"by": "age"}),
        ("hosts", {"by": "name"}),
        ("summary", {"every": 0}),
        ("summary", {"every": 31}),
    ],
)
def test_wrong_arguments_are_named(client: Client, request_: str, given: dict[str, object]):
    with pytest.raises(RequestError, match=next(iter(given))) as error:
        client.ask(request_, **given)
    assert error.value.kind is Kind.BAD_ARGUMENT


def test_by_the_socket_for_views_nothing_can_be_changed(tmp_path: Path):
    with running(tmp_path / "control", viewing=tmp_path / "view") as gateway:
        flow = gateway.open_udp()
        with Client(str(tmp_path / "view")) as client:
            assert [row["id"] for row in client.rows("flows")] == [flow]
            assert next(client.rows("summary"))["flows"] == 1
            for request, given in (
                ("close", {"flow": flow}),
                ("reload", {}),
                ("forward_add", {"ports": "99", "inside": "10.0.0.2"}),
                ("forward_remove", {"name": "web"}),
                ("helper_load", {"name": "finger"}),
                ("helper_unload", {"name": "finger"}),
                ("helper_reload", {"name": "finger"}),
                ("timeouts_set", {"udp": 5}),
            ):
                with pytest.raises(RequestError, match="nothing can be changed") as error:
                    client.ask(request, **given)
                assert error.value.kind is Kind.FORBIDDEN
            assert [row["name"] for row in client.rows("forwards")] == ["web"]
        with Client(gateway.path) as client:
            client.ask("close", flow=flow)
    assert not (tmp_path / "view").exists()


def test_events_reach_the_clients_of_both_sockets(tmp_path: Path):
    paths = tmp_path / "control", tmp_path / "view"
    with running(paths[0], viewing=paths[1]) as gateway, ExitStack() as stack:
        clients = [stack.enter_context(Client(str(path))) for path in paths]
        streams = [each.watch(events=["flow_opened"]) for each in clients]
        deadline = time.monotonic() + 20
        while not all(
            any(each.waiting for each in list(served._clients.values()))
            for served in gateway.control._servers
        ):
            assert time.monotonic() < deadline
        gateway.open_udp()
        assert [next(each)["event"] for each in streams] == ["flow_opened"] * 2
