"""What an operator is told of changes made while the gateway runs."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from ipmasq.core.policy import Forward, HelperUse, Policy, PortRange
from ipmasq.gateway.changes import discarded, doubts_about
from tests.control.running import E1, FINGER, IN1, OUT1, POLICY

WEB = Forward("web", 6, None, PortRange(80, 80), IN1, 80)
MAIL = Forward("mail", 6, None, PortRange(25, 25), IN1, 25)
FILE = replace(POLICY, forwards=(WEB,), helpers=(FINGER,))
MOVED = replace(FINGER, ports=frozenset((7979,)))
OTHER: HelperUse = replace(FINGER, name="other", ports=frozenset((8079,)))


def timed(policy: Policy, **times: float) -> Policy:
    return replace(policy, timeouts=replace(policy.timeouts, **times))


@pytest.mark.parametrize(
    ("running", "said"),
    [
        (FILE, ()),
        (replace(FILE, forwards=(WEB, MAIL)), "forward mail was added while the gateway ran"),
        (replace(FILE, forwards=()), "forward web was removed while the gateway ran"),
        (replace(FILE, helpers=(FINGER, OTHER)), "helper other was loaded while the gateway ran"),
        (replace(FILE, helpers=(MOVED,)), "helper finger was loaded with other ports"),
        (replace(FILE, helpers=()), "helper finger was unloaded while the gateway ran"),
        (timed(FILE, udp=30), "timeout udp was set to 30s while the gateway ran: it is 5m again"),
    ],
)
def test_a_reload_says_which_change_it_discards(running: Policy, said: str):
    told = discarded(FILE, running, FILE)
    assert [sentence[: len(said)] for sentence in told] == ([said] if said else [])


@pytest.mark.parametrize(
    "running",
    [
        replace(FILE, forwards=(WEB, MAIL)),
        replace(FILE, helpers=(FINGER, OTHER)),
        replace(FILE, helpers=(MOVED,)),
        replace(FILE, forwards=(), helpers=()),
        timed(FILE, udp=30, icmp=90),
    ],
)
def test_nothing_is_said_of_what_the_file_says_by_now_as_well(running: Policy):
    assert discarded(FILE, running, running) == []


def test_what_the_file_itself_changes_is_not_called_a_change_of_the_operators():
    after = timed(replace(FILE, forwards=(MAIL,), helpers=(MOVED, OTHER)), udp=30)
    assert discarded(FILE, FILE, after) == []


def test_a_forward_of_a_port_that_the_host_serves_is_doubtful():
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        forward = Forward("web", 6, None, PortRange(port, port), IN1, port)
        text = f"this host serves port {port} itself; from outside it can no longer be reached"
        assert doubts_about(forward, FILE, ()) == (text,)
        assert doubts_about(replace(forward, public=E1), FILE, ()) == (text,)
        assert doubts_about(replace(forward, public=OUT1), FILE, ()) == ()
        assert doubts_about(replace(forward, protocol=17), FILE, ()) == ()
    assert doubts_about(forward, FILE, ()) == ()


def test_a_forward_that_its_helper_will_not_watch_is_doubtful():
    forward = Forward("finger", 17, None, PortRange(79, 79), IN1, 79)
    (told,) = doubts_about(forward, FILE, (FINGER,))
    assert told == "79 is a port of helper finger, which watches tcp, not udp"
