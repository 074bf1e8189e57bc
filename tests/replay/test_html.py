"""The page of a replay as text: complete, harmless, and of bounded size. tests/browser opens it in a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.replay.html import render
from ipmasq.replay.steps import MOST_STEPS, Column, Kind, Outcome, Step, Steps
from tests.replay.cases import CASES, HOSTILE, hostile, steps


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.mark.parametrize("case", CASES)
def test_the_page_shows_every_step_and_links_the_announcement_with_its_connection(case: str):
    result = steps(*CASES[case])
    page = Page(render(result, "a capture", {"packets": "9"}))
    rows = [attributes for tag, attributes in page.tags if tag == "tr" and "id" in attributes]
    assert [row["id"] for row in rows] == [f"step-{step.number}" for step in result.steps]
    (opening,) = [step for step in result.steps if step.announced_by]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links.count(f"#step-{opening.announced_by}") == 2  # from its own number, and from there
    assert links.count(f"#step-{opening.number}") == 2


def test_what_a_rewrite_changed_is_marked_and_nothing_else():
    text = render(steps(*CASES["client masqueraded, client announces"]), "x", {})
    assert "PORT <del>10,0,0,2,19,137</del>" in text
    assert re.search(r"PORT <ins>203,0,113,1,\d+,\d+</ins>", text)


def test_a_passed_line_is_shown_once():
    assert render(steps(*CASES["client masqueraded, client announces"]), "x", {}).count("LIST") == 1


def test_no_password_is_on_the_page():
    assert "secret" not in render(steps(*CASES["client masqueraded, client announces"]), "x", {})


def test_what_a_hostile_capture_says_is_text():
    case = CASES["client masqueraded, client announces"]
    harmless = Page(render(steps(*case), "x", {"a fact": "its value"}))
    text = render(steps(hostile()), "<b>\udcff\n</title>", {"<i>": "<u>"}, damage="<s>")
    page = Page(text)
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in harmless.tags}
    assert (page.count("script"), page.count("style"), page.count("table")) == (1, 1, 1)
    assert "<script>document.title='owned'</script>" in page.text
    assert HOSTILE[0].decode() not in text
    text.encode("utf-8")
    assert not [each for each in text if not each.isprintable() and each != "\n"]


said = st.text(st.characters(), max_size=60)


@given(said, said, said, said)
def test_whatever_a_step_says_the_page_keeps_its_shape(
    before: str, after: str, end: str, text: str
):
    made = [
        Step(1, 0.0, Kind.OPENED, Column.OUTSIDE, Column.INSIDE, 1, 1, 1, protocol=end, inside=end),
        Step(2, 0.0, Kind.LINE, Column.INSIDE, Column.OUTSIDE, 1, 1, 1, Outcome.REWRITTEN, text),
        Step(3, 0.0, Kind.DROPPED, Column.INSIDE, Column.GATEWAY, public=end, sentences=[text]),
    ]
    made[1].before, made[1].after = before, after
    page = Page(render(Steps(made), text, {end: text}))
    assert (page.count("tr"), page.count("script"), page.count("del")) == (
        4,
        1,
        int(before != after),
    )


def test_the_page_asks_for_nothing_and_forbids_everything_but_its_own_style_and_script():
    text = render(steps(hostile()), "x", {})
    page = Page(text)
    assert not [attributes for _, attributes in page.tags if "src" in attributes]
    assert all(
        str(attributes["href"]).startswith("#")
        for _, attributes in page.tags
        if "href" in attributes
    )
    policy = next(a["content"] for tag, a in page.tags if "http-equiv" in a)
    assert str(policy).startswith("default-src 'none'; style-src 'sha256-")


def test_a_page_of_the_most_steps_says_how_many_more_there_were_and_is_bounded():
    long = "<" * 1000
    step = Step(1, 0.0, Kind.LINE, Column.INSIDE, Column.OUTSIDE, 1, 1, 1, Outcome.REWRITTEN)
    step.before, step.after = long, long + ">"
    text = render(Steps([step] * MOST_STEPS, more=1234), "x", {})
    assert "Only the first 10,000 steps are shown; 1,234 more happened." in text
    assert len(text) < 10_000 * MOST_STEPS


def test_an_empty_conversation_and_a_damaged_capture_are_said_in_words():
    text = render(Steps(), "x", {}, damage="cut short")
    assert "Nothing happened." in text
    assert "The capture was read up to its damage: cut short" in text
