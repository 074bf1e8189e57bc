"""Tables written as TOML."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.config.reading import read_toml
from ipmasq.config.toml import text_of
from ipmasq.wire.visible import is_visible

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: all(map(is_visible, name)) and name.strip()
)


PLAIN = st.booleans() | st.integers(-(2**62), 2**62) | NAMES


TABLES = st.dictionaries(NAMES, PLAIN | st.lists(PLAIN, max_size=3), max_size=4)


@given(st.lists(TABLES, min_size=1, max_size=3), st.dictionaries(NAMES, TABLES, min_size=1))
def test_what_is_written_is_read_as_the_same(forwards: list[Any], helpers: dict[str, Any]):
    data = {"forward": forwards, "helper": helpers}
    assert read_toml(text_of(data)) == data
