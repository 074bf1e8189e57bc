"""One lab with its servers for all tests here; gateways as each module wants them.

The scenarios are the demo's: the same cells, clients and servers (`demo/`), one case each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.gateway_ipmasq import make_ipmasq
from demo.runner import Runner
from demo.session import Place
from demo.stage import stage


@pytest.fixture(scope="package")
def place() -> Iterator[Place]:
    with stage() as place:
        yield place


@pytest.fixture(scope="package")
def runner(place: Place) -> Runner:
    return Runner(place, make_ipmasq("tun"), tell=lambda _: None)
