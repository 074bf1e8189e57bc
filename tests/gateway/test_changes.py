"""What an operator is told of changes made while the gateway runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipmasq.core.policy import Forward, HelperUse, Policy, PortRange, Timeouts
from ipmasq.gateway.changes import discarded
from tests.control.running import FINGER, IN1, POLICY

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
        (
            replace(FILE, timeouts=Timeouts(udp_ports={53: 20.0})),
            "timeout udp.53 was set to 20s while the gateway ran: it is 5m again",
        ),
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
