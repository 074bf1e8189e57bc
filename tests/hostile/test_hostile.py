"""Every attack, on every plane where that matters: the gateway withstands it, or says in the test's name what does not hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.network import PLANES, Network
from tests.hostile.runner import Attack, carry_out, load

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    network = Network(request.param)
    yield network
    network.close()


ONE_PLANE = frozenset(
    [
        "dripping-clients",
        "endless-line",
        "forged-reply",
        "fragment-share",
        "full-table",
        "hostile-name",
        "lone-surrogate",
        "loops",
        "martians",
        "odd-fragments",
        "port-quota",
        "bad-lengths",
        "stream-memory",
        "stream-memory-open",
    ]
)
"""What these attack is the same code on every plane: the suite tries them on the first, `make hostile PLANE=all` on all."""


def _marks(attack: Attack) -> list[pytest.MarkDecorator]:
    rows = [pytest.mark.row(*attack.rows)] if attack.rows else []
    return [*rows, pytest.mark.alone] if attack.alone else rows


@pytest.mark.parametrize(
    ("network", "attack"),
    [
        pytest.param(
            plane,
            each,
            id=f"{plane}-{name}",
            marks=_marks(each),
        )
        for plane in PLANES
        for name, each in load().items()
        if plane in (each.planes or PLANES) and (name not in ONE_PLANE or plane == PLANES[0])
    ],
    indirect=["network"],
)
def test_the_gateway_withstands(network: Network, attack: Attack) -> None:
    verdict = carry_out(network, attack)
    assert verdict.held, verdict.sentence
