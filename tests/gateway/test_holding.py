"""An engine that does not know all earlier mappings holds back the ports that may have been in use."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.policy import Behaviour, Policy
from ipmasq.gateway.file import File
from ipmasq.gateway.holding import hold_ports
from ipmasq.gateway.keeping import begun_engine
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


@pytest.mark.parametrize("is_member", [True, False])
def test_a_member_of_a_group_holds_none_before_it_takes_over(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, is_member: bool
) -> None:
    """Only then it is known whether anything was lost."""
    policy = Policy(POLICY.inside, POLICY.public, filtering=Behaviour.ENDPOINT_INDEPENDENT)
    with caplog.at_level(logging.INFO, "ipmasq"):
        engine = begun_engine(None, policy, File(tmp_path / "gateway.toml"), 1000.0, is_member)
    assert engine.manager.admission.port_hold.is_on is not is_member
    assert bool(caplog.text) is not is_member
