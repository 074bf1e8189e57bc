"""A stream is cut into the same lines, however it arrives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.framing import Lines, Message, MessageReader
from ipmasq.core.plain import Fields
from tests.core.restored import serialised

LONGEST = 20
LINES = Lines(b"\r\n", LONGEST)
texts = st.lists(
    st.sampled_from([b"a", b"bb", b"\r", b"\n", b"\r\n", b"c" * 15, b"d" * 30]), max_size=30
).map(b"".join)


def read(pieces: list[bytes], at_start: bool = True) -> list[Message]:
    reader = MessageReader(LINES, 100, at_start)
    lines = []
    for piece in pieces:
        reader.feed(piece)
        while line := reader.next():
            lines.append(line)
    return lines


def cut(text: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, text[at:]]


@given(texts, st.lists(st.integers(0, 9), max_size=60))
def test_lines_do_not_depend_on_how_the_bytes_arrive(text: bytes, sizes: list[int]) -> None:
    whole = [(line.text, line.position) for line in read([text]) if line.whole]
    assert [(line.text, line.position) for line in read(cut(text, sizes)) if line.whole] == whole


@given(texts)
def test_a_line_stands_at_its_true_position_and_is_not_too_long(text: bytes) -> None:
    for line in read([text]):
        start = line.position - 100
        assert text[start : start + len(line.text)] == line.text
        if line.whole:
            assert len(line.text) <= LONGEST
            assert start == 0 or text[start - 2 : start] == b"\r\n"


@given(texts, st.integers(1, 5))
def test_no_more_than_the_longest_line_is_kept_when_bytes_are_passed_on(
    text: bytes, size: int
) -> None:
    reader = MessageReader(LINES)
    for at in range(0, len(text), size):
        reader.feed(text[at : at + size])
        while reader.next():
            pass
        reader.pass_on()
        assert len(reader._buffer) <= LONGEST + size


def test_reading_that_begins_within_a_line_shows_the_next_one_first() -> None:
    lines = read([b"T 1,2\r\nPORT\r\n"], at_start=False)
    assert [(line.text, line.whole) for line in lines] == [
        (b"T 1,2\r\n", False),
        (b"PORT\r\n", True),
    ]


def test_a_line_says_how_much_of_it_has_been_passed_on() -> None:
    reader = MessageReader(LINES)
    reader.feed(b"abc")
    assert reader.next() is None
    reader.pass_on()
    reader.feed(b"de\r\nf\r\n")
    assert [reader.next(), reader.next()] == [
        Message(b"abcde\r\n", 0, 3, True),
        Message(b"f\r\n", 7, 0, True),
    ]


def test_a_terminator_that_is_split_is_found_after_a_line_that_was_too_long() -> None:
    reader = MessageReader(LINES)
    reader.feed(b"x" * 100 + b"\r")
    assert reader.next() is None
    reader.pass_on()
    reader.feed(b"\nok\r\n")
    first, second = reader.next(), reader.next()
    assert first is not None
    assert not first.whole
    assert second == Message(b"ok\r\n", 102, 0, True)


@given(text=texts, size=st.integers(1, 9))
def test_a_reader_is_the_same_after_its_state(text: bytes, size: int):
    reader = restored = MessageReader(LINES, 100)
    for piece in cut(text, [size] * (len(text) // size + 1)):
        restored = MessageReader.from_state(Fields(serialised(restored.to_state()), "r"), LINES)
        for each in (reader, restored):
            each.feed(piece)
        assert list(iter(reader.next, None)) == list(iter(restored.next, None))
        if len(piece) % 2:
            reader.pass_on()
            restored.pass_on()
        assert restored.to_state() == reader.to_state()
