"""Files that are no configuration, whatever they are, end with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmasq.config import check
from ipmasq.config.reading import LONGEST, read_bytes
from tests.config.marked import GATEWAY

TOO_LONG = "cannot be read: it has more than 1,048,576 bytes"


def test_a_file_without_an_end_is_not_read_to_its_end():
    assert str(check("/dev/zero").errors[0]) == f"/dev/zero: {TOO_LONG}"


def test_a_file_of_two_gigabytes_is_not_read_to_its_end(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    with file.open("wb") as huge:
        huge.truncate(2 << 30)
    assert str(check(file).errors[0]) == f"{file}: {TOO_LONG}"


def test_a_helper_without_an_end_is_a_mistake_of_its_line(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(GATEWAY + '[helper.finger]\nfile = "/dev/zero"\n')
    (error,) = check(file).errors
    assert (error.line, error.message) == (5, f"/dev/zero {TOO_LONG}")


@pytest.mark.parametrize("size", [0, LONGEST])
def test_what_is_not_too_long_is_read_whole(tmp_path: Path, size: int):
    file = tmp_path / "file"
    file.write_bytes(b"#" * size)
    assert len(read_bytes(file)) == size
