from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ipmasq.control.client import Client
from tests.control.running import Running, running


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "control.sock") as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Running) -> Iterator[Client]:
    with Client(gateway.path) as client:
        yield client
