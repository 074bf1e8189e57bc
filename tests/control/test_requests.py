"""Every request and its answer, over a real socket."""

from __future__ import annotations

import json
import os
import socket

import pytest

from ipmasq.control.client import Client
from ipmasq.control.control import REQUESTS
from ipmasq.control.protocol import VERSION, Kind, RequestError
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from tests.conformance import packets
from tests.control.running import E1, IN1, IN2, OUT1, Running, conversation


def refusal(client: Client, request: str, **arguments: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        client.ask(request, **arguments)
    return caught.value


def test_a_flow_is_shown_with_everything_that_is_known_of_it(gateway: Running, client: Client):
    number = conversation(gateway, [b"ask me\r\n"])
    (flow,) = client.rows("flows")
    view = gateway.engine.flow(number)
    assert view is not None
    assert flow["id"] == number
    assert flow["protocol"] == "tcp"
    assert flow["opened_by"] == "inside"
    assert flow["inside"] == {"address": "10.0.0.2", "port": 4000}
    assert flow["public"] == {"address": "203.0.113.1", "port": view.public.port}
    assert flow["remote"] == {"address": "198.51.100.1", "port": 79}
    assert (flow["helper"], flow["state"], flow["origin"]) == (
        "finger",
        "ESTABLISHED",
        "masquerade",
    )
    assert flow["shift_out"] == {"init_seq": 101, "delta": 3, "previous_delta": 0}
    assert flow["shift_in"] == {"init_seq": 0, "delta": 0, "previous_delta": 0}
    assert 7400 < flow["expires_in"] <= 7440
    assert 0 <= flow["idle"] <= flow["age"] < 60
    assert (flow["packets_out"], flow["packets_in"]) == (3, 1)


def test_the_states_of_a_flow_are_called_as_conntrack_calls_them(gateway: Running, client: Client):
    def state() -> str:
        return next(client.rows("flows"))["state"]

    out, ack = (IN1, 4000, OUT1, 80), packets.ACK
    public = packets.read(gateway.send(packets.tcp(*out, packets.SYN, 100))).source.port
    back = (OUT1, 80, E1, public)
    assert state() == "SYN_SENT"
    gateway.send(packets.tcp(*back, packets.SYN | ack, 500, 101), Side.OUTSIDE)
    gateway.send(packets.tcp(*out, ack, 101, 501))
    assert state() == "ESTABLISHED"
    gateway.send(packets.tcp(*back, packets.FIN | ack, 501, 101), Side.OUTSIDE)
    assert state() == "CLOSE_WAIT"
    gateway.send(packets.tcp(*out, packets.FIN | ack, 101, 502))
    assert state() == "TIME_WAIT"


def test_a_datagram_flow_says_whether_it_was_answered(gateway: Running, client: Client):
    gateway.open_udp(IN1, 5000, 53)
    (flow,) = client.rows("flows")
    assert flow["state"] == "UNREPLIED"
    public = flow["public"]["port"]
    gateway.send(packets.udp(OUT1, 53, E1, public), Side.OUTSIDE)
    assert next(client.rows("flows"))["state"] == "SEEN_REPLY"


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, 3),
        ({"host": "10.0.0.3"}, 1),
        ({"host": "198.51.100.1"}, 3),
        ({"port": 123}, 1),
        ({"protocol": "tcp"}, 1),
        ({"protocol": 17}, 2),
        ({"helper": "finger"}, 1),
        ({"state": "established"}, 1),
        ({"state": "ESTABLISHED"}, 1),
        ({"state": "UNREPLIED"}, 2),
        ({"state": "TIME_WAIT"}, 0),
        ({"host": "10.0.0.3", "port": 53}, 0),
    ],
)
def test_flows_are_filtered(
    gateway: Running, client: Client, filters: dict[str, object], found: int
):
    conversation(gateway, [])
    gateway.open_udp(IN1, 5000, 53)
    gateway.open_udp(IN2, 5000, 123)
    assert len(list(client.rows("flows", **filters))) == found
    assert client.ask("flows", **filters) == {"rows": found}


def test_mappings_forwards_helpers_stats_and_timeouts_are_shown(gateway: Running, client: Client):
    gateway.open_udp()
    (mapping,) = client.rows("mappings", host="10.0.0.2")
    assert mapping["inside"] == {"address": "10.0.0.2", "port": 5000}
    assert mapping["flows"] == 1
    assert list(client.rows("mappings", port=9)) == []
    assert list(client.rows("forwards")) == [
        {
            "name": "web",
            "protocol": "tcp",
            "public": None,
            "ports": "8080",
            "inside": "10.0.0.3",
            "inside_ports": "80",
        }
    ]
    (helper,) = client.rows("helpers")
    assert (helper["name"], helper["ports"], helper["on_failure"]) == ("finger", [79], "pass")
    stats = {row["reason"]: row["packets"] for row in client.rows("stats")}
    assert list(stats) == [
        *(reason.name.lower() for reason in Reason if reason < Reason.IDLE),
        "answered.icmp_error",
        "answered.reset",
    ]
    assert stats["translated"] == 1
    (timeouts,) = client.rows("timeouts")
    assert timeouts["udp"] == 300.0
    assert list(client.rows("expectations")) == []
    assert next(iter(client.rows("status")))["flows"] == 1


def test_a_flow_is_explained_by_its_number_and_by_its_ends(gateway: Running, client: Client):
    number = conversation(gateway, [])
    (by_number,) = client.rows("explain", flow=number)
    (by_ends,) = client.rows(
        "explain", protocol="tcp", source="10.0.0.2:4000", destination="198.51.100.1:79"
    )
    assert by_number == by_ends
    assert by_number["flow"] == number
    assert by_number["helpers"][0]["helper"] == "finger"
    assert by_number["helpers"][0]["bound"] is True


def test_what_in_the_firewall_is_in_a_flows_way_is_said_of_one_that_would_be_opened(
    gateway: Running, client: Client
):
    gateway.gateway.in_the_way = ("the host's firewall drops it; add: a rule",)
    asked = {"protocol": "tcp", "source": "198.51.100.1:9", "destination": "203.0.113.1:8080"}
    (found,) = client.rows("explain", **asked)
    assert found["firewall"] == list(gateway.gateway.in_the_way)
    (refused,) = client.rows("explain", **{**asked, "destination": "203.0.113.1:8081"})
    assert refused["firewall"] == []


def test_a_flow_that_does_not_exist_is_explained_too(client: Client):
    (found,) = client.rows(
        "explain", protocol="tcp", source="10.0.0.9:1", destination="198.51.100.99:79"
    )
    assert found["flow"] is None
    assert "drop" in found["verdict"]
    (found,) = client.rows(
        "explain", protocol="tcp", source="198.51.100.1:9", destination="203.0.113.1:8080"
    )
    assert found["side"] == "outside"
    assert "10.0.0.3:80" in found["verdict"]


def test_a_forward_is_added_and_removed(gateway: Running, client: Client):
    added = client.ask("forward_add", ports="2121-2125", inside="10.0.0.2", inside_port=21)
    assert added["name"] == "tcp-2121-2125"
    assert added["inside_ports"] == "21-25"
    assert len(gateway.engine.forwards()) == 2
    assert refusal(client, "forward_add", ports=2123, inside="10.0.0.2").kind is Kind.REFUSED
    client.ask("forward_remove", name="tcp-2121-2125")
    assert refusal(client, "forward_remove", name="tcp-2121-2125").kind is Kind.NOT_FOUND


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"ports": "70000", "inside": "10.0.0.2"}, "ports"),
        ({"ports": "20-10", "inside": "10.0.0.2"}, "ports"),
        ({"ports": 80, "inside": "ten"}, "inside"),
        ({"ports": 80, "inside": "10.0.0.2", "protocol": "icmp"}, "protocol"),
        ({"ports": "1000-2000", "inside": "10.0.0.2", "inside_port": 65000}, "inside_port"),
        ({"ports": 80, "inside": "10.0.0.2", "colour": "red"}, "colour"),
        ({"inside": "10.0.0.2"}, "ports"),
    ],
)
def test_a_wrong_argument_is_named(client: Client, wrong: dict[str, object], place: str):
    error = refusal(client, "forward_add", **wrong)
    assert error.kind is Kind.BAD_ARGUMENT
    assert error.message.startswith(f"{place}: ")


def test_a_forward_to_somewhere_else_is_refused(client: Client):
    error = refusal(client, "forward_add", ports=80, inside="198.51.100.1")
    assert error.kind is Kind.REFUSED


def test_a_flow_is_closed_once(gateway: Running, client: Client):
    number = gateway.open_udp()
    assert client.ask("close", flow=number) == {"flow": number}
    assert refusal(client, "close", flow=number).kind is Kind.NOT_FOUND


def test_a_helper_is_unloaded_loaded_for_other_ports_and_reloaded(client: Client):
    client.ask("helper_unload", name="finger")
    assert list(client.rows("helpers")) == []
    assert refusal(client, "helper_unload", name="finger").kind is Kind.NOT_FOUND
    assert refusal(client, "helper_load", name="gopher").kind is Kind.NOT_FOUND
    assert client.ask("helper_load", name="finger", ports=[79, 7979]) == {"name": "finger"}
    assert next(iter(client.rows("helpers")))["ports"] == [79, 7979]
    client.ask("helper_reload", name="finger")


def test_idle_times_are_set_for_live_flows_too(gateway: Running, client: Client):
    gateway.open_udp()
    assert client.ask("timeouts_set", udp=30)["udp"] == 30
    assert next(iter(client.rows("flows")))["expires_in"] <= 30
    assert refusal(client, "timeouts_set").kind is Kind.BAD_ARGUMENT
    assert refusal(client, "timeouts_set", udp=-1).kind is Kind.BAD_ARGUMENT


def test_a_reload_says_what_came_of_it_or_every_mistake(gateway: Running, client: Client):
    assert client.ask("reload") == {"closed": 0, "warnings": ["a warning"]}
    gateway.gateway.mistakes = ("line 3: no", "line 9: no")
    error = refusal(client, "reload")
    assert error.kind is Kind.CONFIG
    assert error.details == ("line 3: no", "line 9: no")


def test_an_unknown_request_is_told_which_there_are(client: Client):
    error = refusal(client, "flow")
    assert error.kind is Kind.UNKNOWN_REQUEST
    assert all(name in error.message for name in REQUESTS)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"[]", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 50_000, "malformed"),
        (b'{"request": "flows"}', "version"),
        (b'{"ipmasq": 999, "request": "flows"}', "version"),
        (b'{"ipmasq": 1}', "malformed"),
        (b'{"ipmasq": 1, "request": "flows", "arguments": 7}', "malformed"),
        (b'{"ipmasq": 1, "request": "flows", "arguments": {"host": {"a": []}}}', "bad_argument"),
        (b'{"ipmasq": 1, "request": "close", "arguments": {"flow": 1e999}}', "bad_argument"),
    ],
)
def test_what_is_no_request_is_answered_by_an_error(gateway: Running, said: bytes, kind: str):
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(gateway.path)
        link.sendall(said + b"\n")
        answer = json.loads(link.makefile("rb").readline())
    assert answer["error"]["kind"] == kind


def test_several_requests_at_once_are_answered_in_order(gateway: Running):
    gateway.open_udp()
    asked = [{"ipmasq": VERSION, "request": name} for name in ("flows", "forwards", "flows")]
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(gateway.path)
        link.sendall(b"".join(json.dumps(each).encode() + b"\n" for each in asked))
        link.shutdown(socket.SHUT_WR)  # as `printf ... | socat - UNIX:...` does
        answers = [json.loads(line) for line in link.makefile("rb")]
    assert [next(iter(answer)) for answer in answers] == ["row", "done"] * 3
    assert "name" in answers[2]["row"]


def test_a_file_is_loaded_for_nobody_but_root(gateway: Running):
    from ipmasq.control.answer import Peer

    asked: dict[str, object] = {"file": "/etc/shadow.py"}
    answer = gateway.control.answer("helper_load", asked, Peer(1, os.geteuid() + 1, 1))
    with pytest.raises(RequestError) as caught:
        next(answer)
    assert caught.value.kind is Kind.FORBIDDEN


@pytest.mark.parametrize("name", ["web\n2026-01-01 forged", "\x1b[2J", "\u202egnp", " ", "x" * 65])
@pytest.mark.parametrize(
    ("request_", "more"),
    [
        ("forward_add", {"ports": 2121, "inside": "10.0.0.2"}),
        ("forward_remove", {}),
        ("helper_load", {}),
        ("helper_unload", {}),
    ],
)
def test_a_name_is_visible_characters(
    client: Client, request_: str, more: dict[str, object], name: str
):
    error = refusal(client, request_, name=name, **more)
    assert error.kind is Kind.BAD_ARGUMENT
    assert error.message.startswith("name: ")
    assert error.message.isprintable()
