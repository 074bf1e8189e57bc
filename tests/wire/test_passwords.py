"""Which lines have a password, and what is shown of them."""

from __future__ import annotations

import pytest

from ipmasq.wire.passwords import without_passwords


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"PASS secret\r\n", b"PASS ***\r\n"),
        (b"pass  s e\n", b"pass ***\n"),
        (b"ACCT secret\r\n", b"ACCT ***\r\n"),
        (b" pass secret\r\n", b" pass ***\r\n"),
        (b"\tPaSs\tsecret\r\n", b"\tPaSs ***\r\n"),
        (b"\x00PASS\x00secret\r\n", b"\x00PASS ***\r\n"),
        (b"\xff\xf4\xff\xf2PASS secret\r\n", b"\xff\xf4\xff\xf2PASS ***\r\n"),
        (b"\xff\xfb1PASS secret\r\n", b"\xff\xfb1PASS ***\r\n"),
        (b"PASS :secret", b"PASS ***"),
        (b"PASS !!!", b"PASS ***"),
        (b"NOOP\rPASS secret\r\n", b"NOOP\rPASS ***\r\n"),
        (b"USER me\r\nPASS secret\r\nPASS again\r\n", b"USER me\r\nPASS ***\r\nPASS ***\r\n"),
    ],
)
def test_a_password_is_left_out(line: bytes, shown: bytes):
    assert without_passwords(line) == shown


@pytest.mark.parametrize(
    "line", [b"PASS\r\n", b"PASV\r\n", b"PASSIVE x\r\n", b"NOOP PASS x\r\n", b"RETR pass\r\n", b""]
)
def test_other_lines_are_left_as_they_are(line: bytes):
    assert without_passwords(line) == line
