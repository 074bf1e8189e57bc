"""Where a store is, and what its errors mean."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ipmasq.continuity.server import Address, SilentError, UselessError, connector, told
from tests.continuity.stores import Store


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://store", "begins with none of"),
        ("redis://", "names no host"),
        ("redis://store:x", "Port"),
        ("unix://", "names no socket"),
        ("redis+sentinel://one,two", "names no primary"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, message: str):
    with pytest.raises(ValueError, match=message):
        Address.parse(url)


def test_a_url_is_shown_without_its_password():
    assert Address.parse("rediss://user:secret@store:6380/1?x=y").shown == "rediss://store:6380/1"


def test_sentinels_and_the_primary_are_found_in_the_url():
    found = Address.parse("redis+sentinel://:pw@one:1,two/main")
    assert found.sentinels == (("one", 1), ("two", 26379))
    assert found.service == "main"
    assert found.shown == "redis+sentinel://one:1,two/main"


def error_of(url: str, patience: float = 0.2) -> Exception:
    with pytest.raises(Exception, match=r".*") as caught:
        connector(Address.parse(url))(patience).ping()
    return told(caught.value)


def test_a_machine_that_says_there_is_no_store_is_not_silent(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # it does not listen
        assert isinstance(error_of(f"redis://127.0.0.1:{taken.getsockname()[1]}"), UselessError)


def test_a_server_that_does_not_answer_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert isinstance(error_of(f"redis://127.0.0.1:{server.getsockname()[1]}"), SilentError)


def test_a_store_that_refuses_a_command_is_useless(store: Store):
    client = store.client()
    client.set("text", "x")
    with pytest.raises(Exception, match="WRONGTYPE") as caught:
        client.xlen("text")
    assert isinstance(told(caught.value), UselessError)


def test_a_wrong_password_is_told(store: Store):
    store.client().config_set("requirepass", "secret")
    error = error_of(store.url)
    assert isinstance(error, UselessError)
    assert "uthentication" in str(error)
