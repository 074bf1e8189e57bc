"""The model of the configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.config import Loaded
from ipmasq.config.loading import _checked
from ipmasq.config.model import Config
from tests.config.test_locations import VALUES

SECTIONS = [*Config.model_fields, "x"]


KEYS = ["inside", "outside", "ports", "udp", "action", "from", "port", "to", "file", "class", "x"]


def tables(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    table = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
    return table | st.lists(table | values, max_size=3) | st.dictionaries(st.just("ftp"), table)


SANE = st.sampled_from(["10.0.0.0/24", "eth0", 21, "5-9", "pass", "10.0.0.2:21", ["1-2", 3], True])


@given(st.dictionaries(st.sampled_from(SECTIONS), tables(SANE | VALUES) | VALUES, max_size=5))
def test_whatever_the_values_are_something_checked_remains(data: dict[str, Any]):
    config, mistakes = _checked(data)
    assert isinstance(config, Config)
    loaded = Loaded(Path("gateway.toml"), config, {}, ())
    assert all(str(loaded.problem(*each)).isprintable() for each in mistakes)
    again, more = _checked(data)  # what was wrong has been left out of it
    assert (again, more) == (config, [])
