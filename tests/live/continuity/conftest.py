from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.continuity.pair import NAMES, Pair, pair


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Pair]:
    """Two gateways and a store, none of which runs."""
    with pair(tmp_path) as made:
        yield made


@pytest.fixture(params=["tun", "ebpf-tc"])
def two(request: pytest.FixtureRequest, bare: Pair) -> Pair:
    """The first one is active, the other one follows."""
    bare.start_store()
    for name in NAMES:
        bare.start_gateway(name, request.param)
    bare.activate("gw1")
    return bare
