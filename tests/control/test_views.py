"""Requests that show what is there."""

from __future__ import annotations

import pytest

from ipmasq.control.client import Client
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.planes.fastpath import Counter
from tests.conformance import packets
from tests.control.refusals import refusal
from tests.control.running import E1, IN1, IN2, OUT1, Running, conversation


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
    gateway.send(packets.tcp(*back, ack, 502, 102), Side.OUTSIDE)
    assert state() == "TIME_WAIT"
    row = next(client.rows("summary"))
    assert (row["flows"], row["flows_over"], row["hosts"]) == (1, 1, 0)


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


def test_stats_say_of_each_counter_whether_it_counts_drops(gateway: Running, client: Client):
    gateway.gateway.counted = (
        Counter("tc.no_entry", 3, "passed on"),
        Counter("dropped.inside.openings", 5, "too many", is_drop=True),
    )
    stats = {row["reason"]: row["drop"] for row in client.rows("stats")}
    assert not stats["translated"]
    assert stats["martian"]
    assert not stats["answered.reset"]
    assert not stats["tc.no_entry"]
    assert stats["dropped.inside.openings"]


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


def test_firewall_rules_that_obstruct_a_flow_are_named_if_it_would_be_opened(
    gateway: Running, client: Client
):
    gateway.gateway.obstructed = ("the host's firewall drops it; add: a rule",)
    asked = {"protocol": "tcp", "source": "198.51.100.1:9", "destination": "203.0.113.1:8080"}
    (found,) = client.rows("explain", **asked)
    assert found["firewall"] == list(gateway.gateway.obstructed)
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


@pytest.mark.parametrize(
    ("source", "destination", "side"),
    [
        ("10.0.0.9:1", "198.51.100.1:80", "inside"),
        ("192.168.5.5:1", "198.51.100.1:80", "inside"),
        ("198.51.100.1:1", "203.0.113.1:80", "outside"),
        ("198.51.100.1:1", "10.0.0.2:80", "outside"),
        ("203.0.113.1:1", "198.51.100.1:80", "outside"),
    ],
)
def test_the_side_of_a_packet_follows_from_where_it_would_go(
    client: Client, source: str, destination: str, side: str
):
    (found,) = client.rows("explain", protocol="tcp", source=source, destination=destination)
    assert found["side"] == side


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"protocol": "gra"}, '"gra" is not tcp, udp, icmp or the number of a protocol'),
        ({"protocol": 300}, "300 is not tcp, udp, icmp or the number of a protocol"),
        ({"protocol": ""}, '"" is not tcp, udp, icmp or the number of a protocol'),
        ({"source": "web.example.org:80"}, "is not an IPv4 address; names are not looked up"),
        ({"source": "10.0.0.0/24"}, '"10.0.0.0/24" is not an IPv4 address, but a network'),
        ({"source": "[2001:db8::1]:80"}, '"2001:db8::1" is IPv6, which cannot be masqueraded yet'),
        ({"source": "10.0.0.2:99999"}, '"99999" is not a port, a number to 65535'),
        ({"source": "10.0.0.2"}, "source: a port is missing"),
        ({"sauce": "10.0.0.2"}, "sauce: there is no such argument; did you mean source?"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong_with_it(
    client: Client, wrong: dict[str, object], sentence: str
):
    asked = {"protocol": "tcp", "source": "10.0.0.2:1", "destination": "198.51.100.1:80"}
    assert sentence in refusal(client, "explain", **{**asked, **wrong}).message


def test_a_protocol_can_be_called_as_in_the_configuration(client: Client):
    ends = {"source": "10.0.0.2", "destination": "198.51.100.1"}
    (found,) = client.rows("explain", protocol="gre", **ends)
    assert "cannot be masqueraded" in found["verdict"]


def test_flows_of_a_helper_that_is_not_loaded_are_none_and_that_is_said(client: Client):
    error = refusal(client, "flows", helper="fingr")
    assert error.message == "there is no helper fingr; loaded: finger"
