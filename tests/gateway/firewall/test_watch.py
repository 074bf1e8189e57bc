"""What is told of the firewall to whoever adds a forward or asks about a flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from threading import Event as Signal

import pytest

from ipmasq.core.events import Event, FirewallObstructed
from ipmasq.core.policy import Forward, PortRange
from ipmasq.core.side import Side
from ipmasq.core.views import Passage
from ipmasq.gateway.firewall import iptables
from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.watch import GAP, FirewallWatch, interface_to
from ipmasq.gateway.firewall.ways import Where
from ipmasq.gateway.loop import Loop
from ipmasq.wire.addresses import Endpoint, to_address
from tests.gateway.firewall.waiting import answered

WHERE = Where("go", ("gi",), ("10.0.0.0/24",), once=True, able=True)
RULES = """*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i gi -o go -j ACCEPT
-A FORWARD -i go -o gi -p tcp -m tcp --dport 8080 -j ACCEPT
COMMIT
"""
SERVER = to_address("10.0.0.3")


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def watch(loop: Loop, told: list[Event]) -> Iterator[FirewallWatch]:
    watch = FirewallWatch(
        loop, lambda: WHERE, told.append, read=lambda: iptables.tables(RULES, "iptables")
    )
    watch.begin()
    yield watch
    watch.end()


def forward(port: int, to: int, last: int | None = None) -> Forward:
    return Forward("web", 6, None, PortRange(port, last or port), SERVER, to)


def test_the_rules_that_drop_connections_to_a_new_forward_are_said(
    loop: Loop, watch: FirewallWatch, told: list[Event]
) -> None:
    assert not any(isinstance(event, FirewallObstructed) for event in told)
    (found,) = answered(loop, watch.obstructions(forward(80, 81)))
    assert "does not accept go -> gi (new), gi -> ipmasq-in (new" in found.what
    assert (
        "iptables -A FORWARD -i go -o gi -d 10.0.0.3 -p tcp --dport 81 -m mark --mark 0x10000"
        in found.remedy
    )


def test_of_a_forward_that_they_accept_only_what_inside_hosts_need_is_said(
    loop: Loop,
    watch: FirewallWatch,
) -> None:
    (found,) = answered(loop, watch.obstructions(forward(80, 8080)))
    assert "go -> gi" not in found.what
    assert found.commands == (
        "iptables -A FORWARD -i gi -o ipmasq-in -p tcp --dport 80 -j ACCEPT",
        "iptables -A FORWARD -i ipmasq-in -o gi -d 10.0.0.3 -p tcp --dport 8080 -j ACCEPT",
    )


def test_of_a_range_of_ports_only_what_holds_for_all_of_them_is_said(
    loop: Loop, watch: FirewallWatch
) -> None:
    (found,) = answered(loop, watch.obstructions(forward(8000, 8000, 8100)))
    assert "go -> gi" not in found.what


def test_what_drops_one_flow_is_said_and_nothing_of_one_that_passes(
    loop: Loop, watch: FirewallWatch
) -> None:
    client, server = (
        Endpoint(to_address("10.0.0.2"), 4000),
        Endpoint(to_address("198.51.100.1"), 21),
    )
    out = Passage(6, (Side.INSIDE, Side.OUTSIDE), client, server, server, False)
    assert answered(loop, watch.obstructions(out)) == ()
    public = Endpoint(to_address("203.0.113.1"), 80)
    published = Passage(
        17, (Side.OUTSIDE, Side.INSIDE), server, public, Endpoint(SERVER, 8080), False
    )
    (found,) = answered(loop, watch.obstructions(published))
    assert found.rules == "iptables filter"


def test_of_each_published_server_what_drops_its_connections_is_told(told: list[Event]) -> None:
    rules = RULES.replace("COMMIT", "").replace(":FORWARD DROP", ":FORWARD ACCEPT")
    rules += "-A FORWARD -d 10.0.0.3/32 -p tcp -m tcp --dport 81 -j DROP\nCOMMIT\n"
    watch = FirewallWatch(
        Loop(),
        lambda: WHERE,
        told.append,
        forwards=lambda: [forward(80, 8080), replace(forward(81, 81), name="odd")],
        read=lambda: iptables.tables(rules, "iptables"),
    )
    watch.begin()
    watch.end()
    (event,) = told
    assert isinstance(event, FirewallObstructed)
    assert "forward odd: " in event.what
    assert "chain FORWARD, rule 4 drops it: " in event.what


def test_the_interface_that_leads_to_an_address_is_asked_of_the_kernel() -> None:
    assert interface_to(to_address("127.0.0.1")) == "lo"


def test_an_answer_does_not_wait_for_a_tool_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, loop: Loop
) -> None:
    """The rules that were read last are judged."""
    monkeypatch.setattr("ipmasq.gateway.firewall.watch.PATIENCE", 0.01)
    goes_on = Signal()
    goes_on.set()

    def read() -> list[Table]:
        assert goes_on.wait(60)
        return iptables.tables(RULES, "iptables")

    watch = FirewallWatch(loop, lambda: WHERE, lambda _: None, read=read)
    watch.begin()
    goes_on.clear()
    watch.look()
    (found,) = answered(loop, watch.obstructions(forward(80, 81)))
    assert "does not accept go -> gi (new)" in found.what
    assert not goes_on.is_set()
    goes_on.set()
    watch.end()


def test_no_packet_waits_for_an_answer(loop: Loop) -> None:
    """Whoever asks while the tools run, the loop turns."""
    goes_on = Signal()
    goes_on.set()

    def read() -> list[Table]:
        assert goes_on.wait(60)
        return iptables.tables(RULES, "iptables")

    watch = FirewallWatch(loop, lambda: WHERE, lambda _: None, read=read)
    watch.begin()
    goes_on.clear()
    watch.look()
    asked = [watch.obstructions(forward(80, 81)) for _ in range(16)]
    for _ in range(100):
        loop.later(0, lambda: None)
        loop.round()
        for each in asked:
            assert next(each) is None, "there is no answer yet, and nobody has waited for it"
    goes_on.set()
    for each in asked:
        (found,) = answered(loop, each)
        assert "does not accept go -> gi (new)" in found.what
    watch.end()


def test_one_reading_answers_all_who_ask_meanwhile(
    monkeypatch: pytest.MonkeyPatch, loop: Loop
) -> None:
    """A table of iptables-legacy, whose changes are not notified: each question needs the rules of its time."""
    monkeypatch.setattr("ipmasq.gateway.firewall.watch.has_legacy", lambda: True)
    began: list[float] = []

    def read() -> list[Table]:
        began.append(loop.clock())
        return iptables.tables(RULES, "iptables")

    watch = FirewallWatch(loop, lambda: WHERE, lambda _: None, read=read)
    watch.begin()
    for turn in (1, 2):
        asked_at = loop.clock()
        asked = [watch.obstructions(forward(80, 81)) for _ in range(16)]
        for each in asked:
            next(each)
        for each in asked:
            assert answered(loop, each)
        assert len(began) <= 1 + 2 * turn, "one for the first, and one for all others"
        assert began[-1] >= asked_at, "the rules of then"
    pauses = [later - earlier for earlier, later in pairwise(began[1:])]
    assert all(pause >= GAP for pause in pauses), "however many questions there are"
    watch.end()


def test_who_does_not_wait_any_more_costs_nothing(loop: Loop) -> None:
    watch = FirewallWatch(
        loop, lambda: WHERE, lambda _: None, read=lambda: iptables.tables(RULES, "iptables")
    )
    watch.begin()
    asked = [watch.obstructions(forward(80, 81)) for _ in range(1000)]
    for each in asked:
        next(each)
        each.close()
    assert not watch._judge._pieces
    watch.end()


def test_an_answer_knows_the_rules_that_are_being_read(loop: Loop, told: list[Event]) -> None:
    rules = [RULES, RULES.replace("8080", "81")]
    watch = FirewallWatch(
        loop, lambda: WHERE, told.append, read=lambda: iptables.tables(rules.pop(0), "iptables")
    )
    watch.begin()
    watch.look()
    (found,) = answered(loop, watch.obstructions(forward(80, 81)))
    assert "go -> gi" not in found.what
    assert rules == []
    watch.end()
