"""Text from elsewhere, made visible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire.visible import is_visible, visible

ANY_TEXT = st.text(st.characters(categories=None), max_size=50) | st.binary().map(
    lambda data: data.decode("latin-1")
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("web 80/tcp \\ \N{LATIN SMALL LETTER U WITH DIAERESIS}", None),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2J\x7f\x9b", "\\x1b[2J\\x7f\\x9b"),
        ("\u202eevil\u2028", "\\u202eevil\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_is_invisible_is_written_as_its_escape(text: str, shown: str | None) -> None:
    assert visible(text) == (text if shown is None else shown)
    assert is_visible(text) is (shown is None)


@given(ANY_TEXT)
def test_the_result_is_one_line_that_can_be_encoded_and_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    assert visible(shown) == shown
