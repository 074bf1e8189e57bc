"""Who may use the pages: sessions and their cookies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from ipmasq.front.web import sessions
from ipmasq.front.web.sessions import ANYBODY, SESSION_TIME, Rules
from tests.front.web.serving import TOKEN


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def rules(clock: Clock | None = None) -> Rules:
    return Rules(frozenset(("localhost",)), TOKEN, clock=clock or Clock())


def client(of: Rules, cookie: str) -> str | None:
    return of.client(Headers({"cookie": cookie}))


def test_a_cookie_is_found_among_others_and_no_other_is_believed():
    some = rules()
    made = some.begin_session()
    found = client(some, f"a=b; {some.cookie}={made}; c")
    assert found is not None
    for wrong in (
        f"x{some.cookie}={made}",
        f"{some.cookie}={made}x",
        made,
        f"{some.cookie}={found}",
    ):
        assert client(some, wrong) is None
    assert client(some, f"{some.cookie}=of-a-longer-path; {some.cookie}={made}") == found


def test_a_session_ends_after_a_day_or_when_it_is_told_to():
    clock = Clock()
    some = rules(clock)
    cookies = [f"{some.cookie}={some.begin_session()}" for _ in range(2)]
    found = [client(some, each) for each in cookies]
    assert found[0] is not None
    some.end_session(found[0])
    assert [client(some, each) for each in cookies] == [None, found[1]]
    clock.now += SESSION_TIME - 1
    assert client(some, cookies[1]) == found[1]
    clock.now += 1
    assert client(some, cookies[1]) is None


def test_processes_have_cookies_of_different_names():
    assert rules().cookie != rules().cookie


def test_the_work_for_cookies_of_strangers_does_not_depend_on_the_number_of_sessions(
    monkeypatch: pytest.MonkeyPatch,
):
    """The header is read once, and so many cookies of our name are looked up, and no more."""
    some = rules()
    for _ in range(sessions.MOST_SESSIONS):
        some.begin_session()
    counted = itertools.count()
    real = sessions._cookies

    def cookies(headers: Headers, name: str) -> Iterator[str]:
        next(counted)
        yield from real(headers, name)

    monkeypatch.setattr(sessions, "_cookies", cookies)
    looked_up = []
    monkeypatch.setattr(some, "is_current", lambda each: bool(looked_up.append(each)))
    assert client(some, f"{some.cookie}=x;" * 400 + "a=;" * 5300) is None
    assert next(counted) == 1
    assert len(looked_up) == sessions.MOST_COOKIES


@given(st.text(st.characters(max_codepoint=255)))
def test_no_text_in_a_header_is_a_mistake_of_ours(text: str):
    some = rules()
    some.begin_session()
    headers = Headers(
        raw=[(name, text.encode("latin-1")) for name in (b"cookie", b"authorization")]
    )
    assert some.client(headers) is None
    assert some.is_guess(headers) in (True, False)


def test_where_no_token_is_needed_everybody_is_one_client():
    assert Rules(frozenset()).client(Headers({"authorization": "Bearer x"})) == ANYBODY
