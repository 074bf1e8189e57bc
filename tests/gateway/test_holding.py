"""An engine that does not know all earlier mappings holds back the ports that may have been in use."""

from __future__ import annotations

import logging
from random import Random

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.policy import Behaviour, Policy
from ipmasq.gateway.holding import hold_ports
from tests.conformance.world import POLICY


@pytest.mark.row("6888-8")
@pytest.mark.parametrize(
    ("changes", "is_said"),
    [
        ({"filtering": Behaviour.ENDPOINT_INDEPENDENT}, True),
        ({"filtering": Behaviour.ENDPOINT_INDEPENDENT, "port_hold": 0.0}, False),
        ({"filtering": Behaviour.ADDRESS_DEPENDENT}, False),
    ],
)
def test_ports_are_held_which_is_said_if_it_makes_a_difference(
    caplog: pytest.LogCaptureFixture, changes: dict[str, object], is_said: bool
) -> None:
    policy = Policy(POLICY.inside, POLICY.public, **changes)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO, "ipmasq"):
        engine = hold_ports(Engine(policy, Random(1).randrange, 1000.0), 1000.0)
    assert engine.manager.admission.port_hold.is_on is (policy.port_hold > 0)
    assert (engine.manager.admission.port_hold.filtering is not policy.filtering) is is_said
    assert ("for 120 s mappings admit only addresses" in caplog.text) is is_said
