"""The key of a group is in a file that not everybody may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmasq.continuity.settings import read_key


@pytest.mark.row("A-40")
def test_a_key_is_read_without_the_end_of_its_line(tmp_path: Path):
    file = tmp_path / "key"
    file.write_text("0123456789abcdef\n")
    file.chmod(0o640)
    assert read_key(file) == b"0123456789abcdef"


@pytest.mark.row("A-40")
def test_a_key_that_is_short_missing_or_open_to_everybody_is_refused(tmp_path: Path):
    file = tmp_path / "key"
    with pytest.raises(ValueError, match="cannot be read"):
        read_key(file)
    file.write_text("short")
    file.chmod(0o600)
    with pytest.raises(ValueError, match="no key of at least 16 bytes"):
        read_key(file)
    file.write_text("0123456789abcdef")
    file.chmod(0o644)
    with pytest.raises(ValueError, match="every user"):
        read_key(file)
