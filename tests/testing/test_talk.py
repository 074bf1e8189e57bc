"""A conversation in a test: what the helper is given, and what the checks say."""

from __future__ import annotations

import pytest

from ipmasq.core.helper import UDP, Framer, Helper, HelperContext, Speaker
from ipmasq.testing import CLIENT, SERVER, Talk, wire


class Counted:
    """A framer: one byte with the length, then as many bytes; 255 begins no message."""

    longest = 6
    overlap = None

    def end(self, data: bytes | bytearray, searched: int) -> int:
        if data[0] == 255:
            raise ValueError("no length")
        return 1 + data[0]

    def count(self, data: bytes) -> int:
        return len(data)

    def end_of(self, data: bytes, count: int) -> int:
        return min(count, len(data))


class Recording(Helper):
    """Keeps what it is given, and replaces each `a` that it can."""

    name, ports = "recording", (7000,)
    max_line = 12
    given: list[bytes]

    def __init__(self) -> None:
        self.given = []

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        return partial.startswith(b"a")

    def on_line(self, line: bytes, context: HelperContext) -> None:
        self.given.append(line)
        if line.startswith(b"a"):
            context.replace(0, 1, b"bb")
        if line.startswith(b"stop"):
            context.stop()
        if line.startswith(b"bad"):
            context.refuse("bad")


class Messages(Recording):
    def framer(self) -> Framer:
        return Counted()


class Zero(Recording):
    terminator = b"\0"


class Datagrams(Recording):
    protocol = UDP


def test_a_line_is_withheld_while_the_helper_may_rewrite_it():
    talk = Talk(Recording())
    assert talk.client("abc").becomes("bbbc").held == 4
    talk.client("xyz").passes().never_held()


def test_bytes_that_were_forwarded_cannot_be_replaced():
    class Late(Recording):
        def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
            return False

    with pytest.raises(ValueError, match="already been forwarded"):
        Talk(Late()).client("abc")


def test_several_lines_in_one_segment_have_a_result_each():
    talk = Talk(Recording())
    assert [str(heard) for heard in talk.feed(SERVER, b"x\r\nab\r\ny")] == [
        "is unchanged, opens nothing",
        'becomes "bbb\\r\\n", opens nothing',
    ]
    assert talk.feed(SERVER, b"z\r\n")[0].line == b"yz\r\n"


def test_a_line_that_is_too_long_passes_without_the_helper():
    talk = Talk(Recording())
    talk.client("a" * 13).passes()
    talk.client("ab").becomes("bbb")
    assert talk.helper.given == [b"ab\r\n"]


def test_after_stop_the_helper_is_given_nothing():
    talk = Talk(Recording())
    talk.client("stop").stops()
    talk.client("ab").passes().stops()
    assert talk.stopped


def test_a_refused_line_passes():
    Talk(Recording()).client("bad").refused()


def test_a_line_ends_as_the_helper_says():
    talk = Talk(Zero())
    talk.client("ab").becomes("bbb")
    assert talk.helper.given == [b"ab\0"]


def test_messages_are_split_by_the_helpers_framer():
    talk = Talk(Messages())
    talk.client(b"\x02ab").passes()
    assert Talk(Messages()).client("\x01z").unchanged().becomes("\x01z").line == b"\x01z"
    assert [heard.line for heard in talk.feed(CLIENT, b"\0\x01")] == [b"\0"]
    talk.feed(CLIENT, b"x\x07longest")
    assert talk.helper.given == [b"\x02ab", b"\0", b"\x01x"]


def test_inspection_ends_where_no_message_begins():
    talk = Talk(Messages())
    assert talk.feed(CLIENT, b"\xff") == []
    assert talk.stopped


def test_a_datagram_is_given_as_it_is():
    talk = Talk(Datagrams())
    assert talk.client("ab").becomes("bbb").after == b"bbb"
    assert talk.datagram(SERVER, b"x" * 13).line == b"x" * 13
    assert talk.helper.given == [b"ab"]


def test_the_server_has_the_port_of_the_helper():
    assert str(Talk(Recording()).ends.server) == "198.51.100.1:7000"
    assert str(Talk(Recording(), SERVER).ends.server) == "10.0.0.9:7000"


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda heard: heard.becomes("x"), 'but the test says: becomes "x\\r\\n"'),
        (lambda heard: heard.unchanged(), "but the test says: is unchanged"),
        (lambda heard: heard.opens("1.2.3.4:5"), "but the test says: opens 1.2.3.4:5"),
        (lambda heard: heard.never_held(), "but the test says: is never withheld"),
        (lambda heard: heard.stops(), "but the test says: ends the inspection"),
        (lambda heard: heard.refused(), "but the test says: is refused"),
    ],
)
def test_a_check_that_fails_says_what_happened_and_what_was_wanted(check, said: str):
    heard = Talk(Recording()).client("abc")
    with pytest.raises(AssertionError) as error:
        check(heard)
    assert str(error.value).startswith('the line "abc\\r\\n" becomes "bbbc\\r\\n", opens nothing')
    assert said in str(error.value)


def test_a_line_that_is_several_is_a_mistake_of_the_test():
    with pytest.raises(AssertionError, match="2 messages, not one"):
        Talk(Recording()).client("x\r\ny")


def test_a_line_is_latin_1_and_ends_with_cr_lf():
    assert (wire("\xff"), wire("x\n"), wire(b"y")) == (b"\xff\r\n", b"x\n", b"y\r\n")
