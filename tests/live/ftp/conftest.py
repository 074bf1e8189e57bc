"""One lab with its servers for all tests of a plane; gateways as each module wants them.

The scenarios are the demo's: the same cells, clients and servers (`demo/`), one case each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.gateway_ipmasq import make_ipmasq
from demo.runner import Runner
from demo.session import Testbed
from demo.stage import stage


@pytest.fixture(scope="package", params=["tun", "ebpf-tc", "ebpf-xdp"])
def plane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="package")
def testbed(plane: str) -> Iterator[Testbed]:
    with stage(xdp="xdp" in plane) as testbed:
        yield testbed


@pytest.fixture(scope="package")
def runner(testbed: Testbed, plane: str) -> Runner:
    return Runner(testbed, make_ipmasq(plane), say=lambda _: None)
