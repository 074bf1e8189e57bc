"""Where the metrics are served and the translation log is written, as the file says it."""

from __future__ import annotations

import pytest

from ipmasq.config.endpoints import listening, log_file, logger
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
