from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.continuity.stores import SERVER, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    if SERVER is None:
        pytest.skip("there is no redis-server")
    made = Store(tmp_path)
    made.start()
    yield made
    made.stop()
