"""Why a flow has, or has not, this rule and this helper; for flows that exist and for those that could."""

from __future__ import annotations

import pytest

from ipmasq.core.policy import Action, Forward, PortRange, Rule, Timeouts
from ipmasq.core.side import Side
from ipmasq.core.views import Explanation
from ipmasq.wire.addresses import Endpoint, to_address
from tests.conformance.conversation import CLIENT, Conversation
from tests.conformance.packets import ICMP, SYN, TCP, UDP
from tests.conformance.world import E1, IN1, IN2, OUT1, OUT2, World
from tests.core.announcer import here, use


def told(world: World, protocol: int, source: tuple, destination: tuple, side: Side) -> Explanation:
    before = world.flows, list(world.engine.mappings())
    answer = world.engine.explain(
        protocol, Endpoint(*source), Endpoint(*destination), side, world.now
    )
    assert (world.flows, list(world.engine.mappings())) == before
    return answer


def test_the_rule_that_would_decide_is_named_and_those_before_it():
    rules = (
        Rule(Action.DROP, protocol=UDP, text="no udp"),
        Rule(Action.MASQUERADE, destination_ports=(PortRange(80, 80),), text="web"),
    )
    world = World(rules=rules)
    answer = told(world, TCP, (IN1, 5000), (OUT1, 80), Side.INSIDE)
    assert answer.flow is None
    assert answer.steps[-2:] == ("rule 1 does not match (no udp)", "rule 2 matches (web)")
    assert "rule 2" in answer.verdict
    assert "203.0.113.1 and a port of 61000-65095" in answer.verdict
    dropped = told(world, UDP, (IN1, 5000), (OUT1, 80), Side.INSIDE)
    assert dropped.verdict == "would be dropped (rule_drop): rule 1 matches (no udp)"


def test_a_live_flow_is_found_from_either_side():
    world = World()
    public = world.tcp(IN1, 5000, OUT1, 80, SYN).one.source
    for ends, side in (
        (((IN1, 5000), (OUT1, 80)), Side.INSIDE),
        (((OUT1, 80), tuple(public)), Side.OUTSIDE),
    ):
        answer = told(world, TCP, *ends, side)
        assert answer.flow == world.flow.id
        assert answer.verdict == f"10.0.0.2:5000 <-> {public}, with 198.51.100.1:80"
        assert "state SYN_SENT" in answer.steps


def test_a_port_with_an_idle_time_of_its_own_says_so():
    world = World(timeouts=Timeouts(udp_ports={53: 30}))
    sentence = "UDP to port 53 is forgotten after 30 s without a packet"
    ends = (IN1, 5000), (OUT1, 53)
    assert sentence in told(world, UDP, *ends, Side.INSIDE).steps
    assert sentence not in told(world, UDP, (IN1, 5000), (OUT1, 54), Side.INSIDE).steps
    assert sentence not in told(world, TCP, *ends, Side.INSIDE).steps
    world.udp(IN1, 5000, OUT1, 53)
    assert sentence in told(world, UDP, *ends, Side.INSIDE).steps


def test_filters_forwards_and_expectations_explain_themselves():
    forward = Forward("web", TCP, None, PortRange(80, 80), IN2, 8080)
    world = World(forwards=(forward,), helpers=(use(),))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(CLIENT, here(Endpoint(IN1, 5000)))
    (expectation,) = world.engine.expectations()
    control = world.flow.public
    assert "address-dependent filter does not admit" in " ".join(
        told(world, TCP, (OUT2, 9), tuple(control), Side.OUTSIDE).steps
    )
    assert "address-dependent filter admits" in " ".join(
        told(world, TCP, (OUT1, 9), tuple(control), Side.OUTSIDE).steps
    )
    assert "port forward web covers it" in told(world, TCP, (OUT2, 9), (E1, 80), Side.OUTSIDE).steps
    data = told(world, TCP, (OUT1, 20), tuple(expectation.public), Side.OUTSIDE)
    assert f"expectation of flow {world.flow.id}" in data.verdict
    assert [helper.bound for helper in data.helpers] == [False]


def test_each_helper_says_why_it_is_bound_or_not():
    helpers = (
        use("first", 21),
        use("second", 21, 4000),
        use("third", 99),
        use("fourth", 4000),
        use("inside", 8021, orthogonal=False),
    )
    forward = Forward("files", TCP, None, PortRange(2121, 2121), IN2, 8021)
    world = World(helpers=helpers, forwards=(forward,))
    verdicts = {
        verdict.helper: verdict
        for verdict in told(world, TCP, (IN1, 4000), (OUT1, 21), Side.INSIDE).helpers
    }
    assert verdicts["first"].bound
    assert verdicts["first"].reason == "by the destination port, 21"
    assert verdicts["second"].reason == "first was bound before it"
    assert verdicts["third"].reason == "its ports are 99"
    assert verdicts["fourth"].reason == "its ports are 4000"
    published = told(world, TCP, (OUT1, 5), (E1, 2121), Side.OUTSIDE).helpers
    assert [v.reason for v in published if v.helper == "inside"] == [
        "it does not say that it is orthogonal, and the client is not the masqueraded side"
    ]
    by_source = told(world, TCP, (IN1, 4000), (OUT1, 5), Side.INSIDE).helpers
    assert not any(verdict.bound for verdict in by_source)


@pytest.mark.row("A-07", "A-11")
def test_the_port_of_a_client_binds_a_helper_only_where_the_operator_lists_it_and_inside():
    echo = Forward("echo", TCP, None, PortRange(7, 7), IN2, 7)
    for listed in (frozenset(), frozenset((21,))):
        world = World(helpers=(use(source_ports=listed),), forwards=(echo,))
        inside = told(world, TCP, (IN1, 21), (OUT1, 5), Side.INSIDE).helpers
        assert [verdict.bound for verdict in inside] == [bool(listed)]
        stranger = told(world, TCP, (OUT1, 21), (E1, 7), Side.OUTSIDE).helpers
        assert [verdict.bound for verdict in stranger] == [False]


GRE = 47
AWAY = to_address("192.168.5.5")
GATEWAY = to_address("10.0.0.1")


@pytest.mark.parametrize(
    ("protocol", "source", "destination", "side", "verdict"),
    [
        (
            ICMP, (IN1, 0), (E1, 0), Side.INSIDE,
            "would go to the gateway host itself: no forward, trigger or flow has 203.0.113.1",
        ),
        (
            ICMP, (OUT1, 0), (E1, 0), Side.OUTSIDE,
            "would go to the gateway host itself: no forward, trigger or flow has 203.0.113.1",
        ),
        (
            TCP, (IN1, 5), (E1, 80), Side.INSIDE,
            "would go to the gateway host itself: no forward, trigger or flow has 203.0.113.1:80",
        ),
        (
            TCP, (OUT1, 5), (E1, 61000), Side.OUTSIDE,
            "would be dropped (no_mapping): no forward, trigger or flow has 203.0.113.1:61000",
        ),
        (
            TCP, (IN1, 5), (GATEWAY, 22), Side.INSIDE,
            "would go to the gateway host itself: 10.0.0.1 is the gateway host's own address",
        ),
        (
            TCP, (AWAY, 5), (OUT1, 80), Side.INSIDE,
            "would be dropped (spoofed): 192.168.5.5 is in no inside network (10.0.0.0/24)",
        ),
        (
            TCP, (IN1, 5), (IN2, 80), Side.OUTSIDE,
            "would be dropped (spoofed): 10.0.0.2 is an inside address, which nobody outside can have",
        ),
        (
            TCP, (E1, 5), (IN2, 80), Side.OUTSIDE,
            "would be dropped (spoofed): 203.0.113.1 is the gateway's own address, which nobody outside can have",
        ),
        (
            TCP, (OUT1, 5), (IN2, 80), Side.OUTSIDE,
            "would be dropped (unsolicited): 10.0.0.3 is not public: without a pass rule nobody reaches it",
        ),
        (
            TCP, (OUT1, 5), (AWAY, 80), Side.OUTSIDE,
            "would be dropped (unsolicited): 192.168.5.5 is neither the gateway's address nor an inside one",
        ),
        (
            UDP, (IN1, 5), (bytes((224, 0, 0, 5)), 80), Side.INSIDE,
            "would be dropped (martian): 224.0.0.5 is never routed (loopback, multicast or reserved)",
        ),
        (
            TCP, (IN1, 5), (IN2, 80), Side.INSIDE,
            "would be routed with its own addresses: both ends are inside",
        ),
        (
            GRE, (IN1, 0), (OUT1, 0), Side.INSIDE,
            "would be dropped (unsupported): protocol 47 cannot be masqueraded",
        ),
        (
            ICMP, (IN1, 7), (OUT1, 7), Side.INSIDE,
            "would be opened by masquerade: to 198.51.100.1, from 203.0.113.1 and an identifier of 61000-65095",
        ),
    ],
)  # fmt: skip
def test_the_verdict_says_first_what_would_happen_and_why(
    protocol: int, source: tuple, destination: tuple, side: Side, verdict: str
):
    world = World(own=frozenset((E1, GATEWAY)))
    assert told(world, protocol, source, destination, side).verdict == verdict


@pytest.mark.parametrize("known", [True, False])
def test_what_is_told_of_a_flow_that_would_be_is_what_happens(known: bool):
    world = World(helpers=(use(),))
    if known:
        world.tcp(IN1, 4000, OUT2, 80, SYN)
    answer = told(world, TCP, (IN1, 4000), (OUT1, 21), Side.INSIDE)
    assert ("which 10.0.0.2:4000 has already" in answer.verdict) is known
    world.tcp(IN1, 4000, OUT1, 21, SYN)
    flow = world.flows[-1]
    assert flow.helper == "announcer"
    assert answer.helpers[0].bound
    live = told(world, TCP, (IN1, 4000), (OUT1, 21), Side.INSIDE)
    assert live.flow == flow.id
    assert live.helpers[0].bound


def test_a_live_hairpin_flow_is_explained_with_all_four_endpoints():
    world = World(forwards=(Forward("web", UDP, None, PortRange(8080, 8080), IN2, 80),))
    public = world.udp(IN1, 5000, E1, 8080).reaches(IN2, 80).source
    found = world.engine.explain(
        UDP, Endpoint(IN1, 5000), Endpoint(E1, 8080), Side.INSIDE, world.now
    )
    for endpoint in (Endpoint(IN1, 5000), public, Endpoint(E1, 8080), Endpoint(IN2, 80)):
        assert str(endpoint) in found.verdict
