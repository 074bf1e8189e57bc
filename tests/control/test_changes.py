"""Requests that change something, over a real socket."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence

import pytest

from ipmasq.control.client import Client
from ipmasq.control.protocol import Kind, RequestError
from tests.control.refusals import refusal
from tests.control.running import Running


def test_a_forward_is_added_and_removed(gateway: Running, client: Client):
    added = client.ask("forward_add", ports="2121-2125", inside="10.0.0.2", inside_port=21)
    assert added["name"] == "tcp-2121-2125"
    assert added["inside_ports"] == "21-25"
    assert len(gateway.engine.forwards()) == 2
    assert refusal(client, "forward_add", ports=2123, inside="10.0.0.2").kind is Kind.REFUSED
    client.ask("forward_remove", name="tcp-2121-2125")
    assert refusal(client, "forward_remove", name="tcp-2121-2125").kind is Kind.NOT_FOUND


def test_what_is_doubtful_about_a_forward_is_told_and_it_is_added(gateway: Running, client: Client):
    gateway.gateway.warnings = ("198.51.100.1 is in no inside network",)
    added = client.ask("forward_add", ports=80, inside="198.51.100.1")
    assert added["warnings"] == ["198.51.100.1 is in no inside network"]
    assert len(gateway.engine.forwards()) == 2


def test_a_forward_that_is_removed_while_its_way_is_examined_is_not_said_to_be_there(
    gateway: Running, client: Client, monkeypatch: pytest.MonkeyPatch
):
    def removing(of: object) -> Generator[None, None, Sequence[str]]:
        yield
        gateway.engine.remove_forward("tcp-80", gateway.loop.clock())
        return ()

    monkeypatch.setattr(gateway.gateway, "obstructions", removing)
    added = client.ask("forward_add", ports=80, inside="10.0.0.2")
    assert added["warnings"] == ["it was removed meanwhile, by another request or by a reload"]


def test_a_range_of_inside_ports_has_to_be_as_long_as_that_of_the_public_ones(client: Client):
    added = client.ask("forward_add", ports="80-82", inside="10.0.0.2", inside_port="8080-8082")
    assert added["inside_ports"] == "8080-8082"
    error = refusal(client, "forward_add", ports="90-92", inside="10.0.0.2", inside_port="90-95")
    assert error.message == "inside_port: 90-95 are 6 ports, but 90-92 are 3"


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


def test_a_file_is_loaded_for_nobody_but_root(gateway: Running):
    from ipmasq.control.answer import Peer

    asked: dict[str, object] = {"file": "/etc/shadow.py"}
    answer = gateway.control.answer("helper_load", asked, Peer(1, os.geteuid() + 1, 1))
    with pytest.raises(RequestError) as caught:
        next(answer)
    assert caught.value.kind is Kind.FORBIDDEN
