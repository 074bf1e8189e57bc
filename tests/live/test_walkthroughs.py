"""What the tutorial and the how-to pages say is typed and shown is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.walkthrough.session import go_through, pages

pytestmark = pytest.mark.live


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_every_command_of_a_page_works_and_shows_what_the_page_says(page: Path):
    for outcome in go_through(page.read_text(encoding="utf-8")):
        assert outcome.is_as_said, str(outcome)
