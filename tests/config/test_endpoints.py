"""Where the metrics are served and the translation log is written, as the file says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmasq.config.endpoints import key_file, listening, log_file, logger, store, votes
from ipmasq.wire.addresses import Endpoint, to_address


@pytest.mark.parametrize("read", [listening, logger])
def test_an_endpoint_or_the_path_of_a_socket_is_read(read):  # type: ignore[no-untyped-def]
    assert read("192.0.2.9:514") == Endpoint(to_address("192.0.2.9"), 514)
    assert read("/dev/log") == "/dev/log"


@pytest.mark.parametrize("read", [listening, logger])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("192.0.2.9", "write"),
        (514, "write"),
        ("localhost:514", "not an IPv4 address"),
        ("192.0.2.9:0", "no port 0"),
        ("192.0.2.9:514-515", "several ports"),
        ("192.0.2.9:", "is not a port"),
        ("/" + "x" * 200, "longer than 107 bytes"),
        ("/dev/\x1blog", "is not a name"),
    ],
)
def test_anything_else_is_a_mistake_that_says_what_to_write(read, value, message):  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        read(value)


def test_a_log_file_has_a_whole_path():
    assert log_file("/var/log/translations.json") == "/var/log/translations.json"
    for wrong in ("translations.json", "", 7, "/var/log/\n"):
        with pytest.raises(ValueError, match="is not a whole path"):
            log_file(wrong)


def test_members_are_asked_at_an_endpoint():
    assert votes("192.0.2.1:7343") == Endpoint(to_address("192.0.2.1"), 7343)
    for wrong in ("/run/votes", "192.0.2.1", 7343):
        with pytest.raises(ValueError, match="write"):
            votes(wrong)


def test_a_store_is_named_by_its_url_and_its_password_is_not_shown():
    assert store("redis://:secret@192.0.2.9") == "redis://:secret@192.0.2.9"
    for wrong in ("http://:secret@192.0.2.9", "redis://:secret@"):
        with pytest.raises(ValueError, match="not the URL of a store") as caught:
            store(wrong)
        assert "secret" not in str(caught.value)


def test_a_key_file_has_a_whole_path():
    assert key_file("/etc/ipmasq/ha.key") == Path("/etc/ipmasq/ha.key")
    with pytest.raises(ValueError, match="is not a whole path"):
        key_file("ha.key")
