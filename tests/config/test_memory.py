"""Memory is what the machine has, or what a control group allows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipmasq.config.memory import available

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_limit_it_is_that_of_the_machine(tmp_path: Path):
    write(tmp_path / "own", "0::/a/b\n")
    write(tmp_path / "root" / "a" / "b" / "memory.max", "max\n")
    assert available(tmp_path / "own", tmp_path / "root") == MACHINE
    assert available(tmp_path / "missing", tmp_path / "root") == MACHINE


@pytest.mark.parametrize("group", ["a/b", "a"], ids=["own group", "group above"])
def test_a_limit_of_the_control_group_or_one_above_it_counts(tmp_path: Path, group: str):
    write(tmp_path / "own", "0::/a/b\n")
    write(tmp_path / "root" / group / "memory.max", "4096000\n")
    assert available(tmp_path / "own", tmp_path / "root") == 4096000


def test_a_limit_of_the_older_hierarchy_counts(tmp_path: Path):
    write(tmp_path / "own", "5:cpu,memory:/box\n1:name=systemd:/box\n")
    write(tmp_path / "root" / "memory" / "box" / "memory.limit_in_bytes", "8192000\n")
    assert available(tmp_path / "own", tmp_path / "root") == 8192000
