"""The configuration that is written is one that `check` accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmasq.config import check, load
from ipmasq.setup.writing import Server, configuration, write


@pytest.mark.parametrize("server", [None, Server("10.0.0.2"), Server("10.0.0.2", 8080)])
def test_what_is_written_has_neither_mistakes_nor_warnings(tmp_path: Path, server: Server | None):
    path = tmp_path / "etc" / "gateway.toml"
    write(path, configuration(path, ["eth1", "eth2"], "eth0", server))
    assert check(path).lines() == ["0 errors, 0 warnings"]
    gateway = load(path).config.gateway
    assert (list(gateway.inside.values()), gateway.outside) == (["eth1", "eth2"], "eth0")
    assert len(load(path).config.forward) == (server is not None)
    assert list(path.parent.iterdir()) == [path], "nothing else is left"


def test_a_file_that_is_replaced_is_never_half_written(tmp_path: Path):
    path = tmp_path / "gateway.toml"
    path.write_text("old")
    with path.open() as reader:
        write(path, configuration(path, ["eth1"], "eth0", None))
        assert reader.read() == "old"
    assert 'outside = "eth0"' in path.read_text()
