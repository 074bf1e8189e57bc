"""Every attack on every plane: the gateway withstands it, or says in the test's name what does not hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.network import PLANES, Network
from tests.hostile.runner import Attack, carry_out, load

pytestmark = pytest.mark.live


@pytest.fixture(scope="module", params=PLANES)
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    network = Network(request.param)
    yield network
    network.close()


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(each, id=name, marks=[pytest.mark.row(*each.rows)] if each.rows else [])
        for name, each in load().items()
    ],
)
def test_the_gateway_withstands(network: Network, attack: Attack) -> None:
    verdict = carry_out(network, attack)
    assert verdict.held, verdict.sentence
