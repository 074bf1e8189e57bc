"""FTP conversations made from chance: mostly plausible, sometimes damaged, cut anywhere.

`choose(n)` gives an int in [0, n); `Bytes` makes one from what Hypothesis or a fuzzer comes up with.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from ipmasq.helpers.ftp import Ftp
from ipmasq.testing import CLIENT, SERVER, Talk, endpoint
from ipmasq.wire.addresses import to_text
from tests.helpers.ftp_oracle import check, check_awaited

Choose = Callable[[int], int]

SIDES = ((), (CLIENT,), (SERVER,), (CLIENT, SERVER))
V6 = (endpoint("[2001:db8::2]:40000"), endpoint("[2001:db8:1::9]:21"))

CLIENT_FORMS = (
    *("PORT {n}", "PORT {n}", "port {n}", "EPRT {e}", "EPRT {e}", "Eprt {e}"),
    *("PASV", "PASV", "PASV", "EPSV", "EPSV", "EPSV", "pasv", "EPSV 1", "EPSV ALL"),
    *("USER me", "REIN", "HOST x", "AUTH TLS", "RETR f", "LIST", "NOOP", "ABOR", "", "POST /"),
)
SERVER_FORMS = (
    *("227 Go ({n}).", "227 Go ({n}).", "227 {n}", "227-Go ({n})", "229 Go ({e})", "229 ({e})"),
    *("229 Go ({e})", "229-Go ({e})", "200 Fine.", "200 Fine.", "150 Wait", "150-Wait", "220 Hi"),
    *("226 Done", "331 Who?", "234 Go", "500 What?", "522 (1,2)", "212-Status", "212 End", "text"),
)
TELNET = ("\xff\xf4\xff\xf2", "\xff\xfb\x01", "\xff\xfa\x01\xff\xf0", "\xff", "\xff\xff")
PORTS = (1024, 1025, 40000, 65535, 61000, 0, 21, 1023, 65536)
DELIMITERS = "|||||||!,~/#179abc.:"


class Bytes:
    """Chance that runs out: then every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def __call__(self, n: int) -> int:
        return next(self._data, 0) % n


def converse(choose: Choose, lines: int) -> Talk:
    """Let both ends say up to `lines` lines, and check every one of them."""
    who = SIDES[choose(len(SIDES))]
    talk = Talk(Ftp(), who, *V6) if choose(4) == 0 else Talk(Ftp(), who)
    for _ in range(lines):
        speaker = (
            SERVER if len(talk.helper.dialogue.unanswered) > 2 else (CLIENT, SERVER)[choose(2)]
        )
        for chunk in _cut(choose, _line(choose, talk, speaker).encode("latin-1")):
            before = deepcopy(talk.helper)
            for heard in talk.feed(speaker, chunk):
                check(talk, speaker, heard)
                check_awaited(before, speaker, heard)
            if choose(12) == 0:
                break  # the rest is never said: the next line begins in the middle of this one
    return talk


def _line(choose: Choose, talk: Talk, speaker) -> str:
    forms = CLIENT_FORMS if speaker is CLIENT else SERVER_FORMS
    expected = _answer(talk) if speaker is SERVER and choose(3) else None
    form = expected or forms[choose(len(forms))]
    line = form.format(n=_numbers(choose, talk, speaker), e=_extended(choose, talk, speaker, form))
    if choose(8) == 0:
        line = TELNET[choose(len(TELNET))] + line
    if choose(8) == 0:
        at = choose(len(line) + 1)
        line = line[:at] + chr(choose(256)) + line[at + choose(2) :]
    return line + ("\r\n" if choose(20) else "\n")


def _answer(talk: Talk) -> str | None:
    """What a server would say now; otherwise most announcements of servers would come unasked."""
    if talk.helper.dialogue.within:
        return f"{talk.helper.dialogue.within.decode()} End"
    asked = talk.helper.dialogue.unanswered[0] if talk.helper.dialogue.unanswered else b""
    return {b"PASV": "227 Go ({n}).", b"EPSV": "229 Go ({e})"}.get(asked, "200 Fine.")


def _address(choose: Choose, talk: Talk, speaker) -> str:
    ends = talk.ends
    me = ends.real(speaker).address
    return to_text(
        (me, me, me, me, ends.public(speaker), ends.real(speaker.other).address)[choose(6)]
    )


def _numbers(choose: Choose, talk: Talk, speaker) -> str:
    port = PORTS[choose(len(PORTS))]
    return f"{_address(choose, talk, speaker).replace('.', ',')},{port >> 8},{port & 255}"


def _extended(choose: Choose, talk: Talk, speaker, form: str) -> str:
    d, port = DELIMITERS[choose(len(DELIMITERS))], PORTS[choose(len(PORTS))]
    if form.startswith("229"):
        return f"{d}{d}{d}{port}{d}"
    address = _address(choose, talk, speaker)
    family = 2 if ":" in address else 1
    return f"{d}{family}{d}{address}{d}{port}{d}"


def _cut(choose: Choose, line: bytes) -> list[bytes]:
    """A line as several segments; one that is as good as any is one byte each."""
    size = (len(line), len(line), 1, 1 + choose(8))[choose(4)]
    return [line[at : at + size] for at in range(0, len(line), size)]
