"""Plain values are read back as what they were, or the error says what is wrong and where."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from ipmasq.core.plain import LONGEST, Fields, StateError, left
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint, to_address

HERE = to_address("10.0.0.2")


def of(value: object) -> Fields:
    return Fields({"x": value}, "here")


def test_every_kind_of_value_is_read_back():
    assert of(5).integer("x") == 5
    assert of(None).integer_or_none("x") is None
    assert of(True).boolean("x") is True
    assert of("ftp").text("x") == "ftp"
    assert of(b"ftp").blob("x") == b"ftp"
    assert of(None).blob_or_none("x") is None
    assert of(1).choice("x", Side) is Side.OUTSIDE
    assert of(HERE).address("x") == HERE
    assert of([HERE, 21]).endpoint("x") == Endpoint(HERE, 21)
    assert of([1, 2]).integers("x") == [1, 2]
    assert [each.integer(0) for each in of([[1], [2]]).rows("x")] == [1, 2]
    assert of({"y": 1}).fields("x").integer("y") == 1
    assert of({"y": 1}).fields("x").names() == ["y"]
    assert of(None).fields_or_none("x") is None
    assert of("any").scalar("x") == "any"


def test_a_moment_is_written_as_the_time_until_then():
    assert left(12.5, 10.0) == 2.5
    assert of(left(12.5, 10.0)).moment_or_never("x", 100.0) == 102.5
    assert of(left(inf, 10.0)).moment_or_never("x", 100.0) == inf
    assert of(left(12.5, 10.0)).moment("x", 100.0) == 102.5
    with pytest.raises(StateError):
        of(left(inf, 10.0)).moment("x", 100.0)
    assert of(10.0 - 4.0).past("x", 100.0) == 94.0


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("integer", "5", "here.x: expected an integer, not str '5'"),
        ("integer", True, "here.x: expected an integer, not bool True"),
        ("integer", -1, "here.x: -1 is not within 0 to 18446744073709551615"),
        ("boolean", 1, "here.x: expected a boolean, not int 1"),
        ("text", None, "here.x: expected text, not None"),
        ("blob", "text", "here.x: expected bytes, not str 'text'"),
        ("address", b"abc", "here.x: an address has not 3 bytes"),
        ("endpoint", [HERE, 70000], "here.x[1]: 70000 is not within 0 to 65535"),
        ("endpoint", [HERE], "here.x[1]: is missing"),
        ("fields", 7, "here.x: expected a dict or list, not int 7"),
        ("listed", {}, "here.x: expected a list, not dict {}"),
        ("integers", [1, None], "here.x[1]: expected an integer, not None"),
        ("seconds", "1", "here.x: expected seconds, not str '1'"),
        ("seconds", nan, "here.x: nan seconds is too long"),
        ("seconds", 2 * LONGEST, "here.x: 2000000000000.0 seconds is too long"),
        ("scalar", [], "here.x: expected one value, not list []"),
    ],
)
def test_another_value_is_refused_with_its_place(method: str, value: Any, message: str):
    with pytest.raises(StateError) as caught:
        getattr(of(value), method)("x")
    assert str(caught.value) == message


def test_a_number_that_an_enumeration_has_not_is_refused():
    with pytest.raises(StateError, match=r"^here\.x: 9 is no Side$"):
        of(9).choice("x", Side)


def test_a_value_that_is_missing_is_named():
    with pytest.raises(StateError, match=r"^here\.y: is missing$"):
        of(1).integer("y")
    with pytest.raises(StateError, match=r"^here\.x\[2\]: is missing$"):
        of([1, 2]).fields("x").integer(2)
    with pytest.raises(StateError, match=r"^here\.x\.y: is missing$"):
        of([1, 2]).fields("x").integer("y")
