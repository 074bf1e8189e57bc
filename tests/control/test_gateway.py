"""What control needs of a gateway, the real one has."""

from __future__ import annotations

import inspect

import pytest

from ipmasq.control.gateway import RunningGateway
from ipmasq.gateway.gateway import Gateway
from tests.control.running import StandIn

DATA = ("engine", "availability", "firewall")
VERBS = [name for name in vars(RunningGateway) if not name.startswith("_") and name not in DATA]


@pytest.mark.parametrize("gateway", [Gateway, StandIn])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_there_with_the_same_arguments(gateway: type, verb: str):
    needed, found = vars(RunningGateway)[verb], getattr(gateway, verb)
    if callable(needed):
        assert list(inspect.signature(found).parameters) == list(
            inspect.signature(needed).parameters
        )
