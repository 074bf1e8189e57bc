"""Which lines have a password, and what is shown of them."""

from __future__ import annotations

import time

import pytest

from ipmasq.wire import tcp
from ipmasq.wire.passwords import headers, without_passwords
from tests.conformance import packets
from tests.conformance.world import IN1, OUT1


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
        (b"PASS sec\rret\r\n", b"PASS ***\r\n"),
        (b"PASS \rsecret\n", b"PASS ***\n"),
        (b"\xff\xfbaPASS secret\r\n", b"\xff\xfbaPASS ***\r\n"),
        (b"PA\xff\xf1S\x00S secret\r\n", b"PA\xff\xf1S\x00S ***\r\n"),
        (b"ADAT secret\r\n", b"ADAT ***\r\n"),
        (b"SITE PSWD secret new\r\n", b"SITE PSWD ***\r\n"),
        (b":me PASS secret\r\n", b":me PASS ***\r\n"),
        (b"OPER me secret\r\n", b"OPER ***\r\n"),
        (b"AUTHENTICATE c2VjcmV0\r\n", b"AUTHENTICATE ***\r\n"),
        (b"PRIVMSG NickServ :IDENTIFY secret\r\n", b"PRIVMSG NickServ :IDENTIFY ***\r\n"),
        (b"a1 LOGIN me secret\r\n", b"a1 LOGIN ***\r\n"),
        (b"AUTH PLAIN c2VjcmV0\r\n", b"AUTH PLAIN ***\r\n"),
        (b"APOP me secret\r\n", b"APOP ***\r\n"),
        (
            b"GET / HTTP/1.1\r\nauthorization : Basic\r\n\tc2VjcmV0\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\r\nauthorization : ***\r\nHost: h\r\n\r\n",
        ),
        (b"Proxy-Authorization: Digest x\r\n", b"Proxy-Authorization: ***\r\n"),
        (b"a=crypto:1 A inline:secret\r\n", b"a=crypto: ***\r\n"),
        (b"SETUP rtsp://me:secret@h/ RTSP/1.0\r\n", b"SETUP rtsp://me:***@h/ RTSP/1.0\r\n"),
        (b"INVITE sip:me:secret@h SIP/2.0\r\n", b"INVITE sip:me:***@h SIP/2.0\r\n"),
        (b"GET /?token=secret&a=1\r\n", b"GET /?token=***&a=1\r\n"),
        (b"PASS " + b"x" * 100_000, b"PASS ***"),
        (b"USER me\r\nPASS secret\r\nPASS again\r\n", b"USER me\r\nPASS ***\r\nPASS ***\r\n"),
    ],
)
def test_a_password_is_left_out(line: bytes, shown: bytes):
    assert without_passwords(line) == shown


@pytest.mark.parametrize(
    "line",
    [
        b"PASS\r\n",
        b"PASV\r\n",
        b"PASSIVE x\r\n",
        b"NOOP PASS x\r\n",
        b"RETR pass\r\n",
        b"AUTH TLS\r\n",
        b"530 Login incorrect.\r\n",
        b"331 Password required for me.\r\n",
        b"PORT 10,0,0,2,1,1\r\n",
        b"229 Entering Extended Passive Mode (|||6446|)\r\n",
        b"EPRT |2|2001:db8::1|5282|\r\n",
        b"Contact: <sip:me@10.0.0.2:5060>\r\n",
        b"",
    ],
)
def test_other_lines_are_left_as_they_are(line: bytes):
    assert without_passwords(line) == line


@pytest.mark.parametrize(
    "line",
    [
        b"\r:a" + b" " * 8189,
        b"SITE " + b"pass" * 2046,
        b"\xff\xfba" * 2730,
        b"a:" * 4095 + b"@",
        b"\nAuthorization:" + b"\n " * 4088,
        b"\r" * 8192,
    ],
    ids=["blanks", "words", "telnet", "colons", "continued", "ends"],
)
def test_the_longest_line_takes_a_moment_whatever_is_in_it(line: bytes):
    began = time.process_time()
    without_passwords(line)
    assert (
        time.process_time() - began < 0.25
    )  # 7 ms; a search that begins anew at each byte takes seconds


@pytest.mark.parametrize(
    ("packet", "length"),
    [
        (packets.tcp(IN1, 5000, OUT1, 21, tcp.ACK, payload=b"cret\r\n"), 40),
        (packets.udp(IN1, 5000, OUT1, 5060, b"secret"), 28),
        (packets.echo(IN1, OUT1, 5, b"secret"), 28),
        (
            packets.tcp(IN1, 5000, OUT1, 21, tcp.ACK, payload=b"secret")[:6] + b"\0\3" + b"x" * 40,
            20,
        ),
        (b"\x45\0\0", 3),
        (b"\x40" + bytes(8) + b"\6" + b"secret" * 10, 20),
        (b"", 0),
    ],
    ids=["tcp", "udp", "icmp", "fragment", "short", "no header", "nothing"],
)
def test_of_a_packet_its_headers_are_shown(packet: bytes, length: int):
    assert headers(packet) == packet[:length]
