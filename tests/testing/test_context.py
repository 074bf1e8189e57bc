"""The context of tests keeps the contract of the real one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.events import Expected, Refused, Rewritten
from ipmasq.core.helper import ANYWHERE, Speaker
from ipmasq.helpers.ftp import Ftp
from ipmasq.testing import CLIENT, SERVER, Ends, ScriptedContext, Talk, endpoint
from ipmasq.wire.addresses import Endpoint, to_address
from tests.core.conversation import INSIDE, OUTSIDE, Conversation

INNER, OUTER = endpoint("10.0.0.2:40000"), endpoint("198.51.100.1:21")


def context(masqueraded: Speaker | None = CLIENT, passed: int = 0) -> ScriptedContext:
    who = frozenset() if masqueraded is None else frozenset({masqueraded})
    return ScriptedContext(CLIENT, Ends(INNER, OUTER, who), b"line\r\n", passed)


def test_an_endpoint_of_the_speaker_is_expected_at_its_public_address():
    assert context().expect(endpoint("10.0.0.2:5000")) == endpoint("203.0.113.1:61000")
    assert context(None).expect(endpoint("10.0.0.2:5000")) == endpoint("10.0.0.2:5000")


def test_no_address_means_that_of_the_speaker():
    assert context().expect(Endpoint(ANYWHERE, 5000)) == endpoint("203.0.113.1:61000")


@pytest.mark.parametrize("text", ["10.0.0.3:5000", "198.51.100.1:5000", "10.0.0.2:1023"])
def test_what_is_not_acceptable_is_answered_with_none_and_recorded(text: str):
    given_ = context()
    assert given_.expect(endpoint(text)) is None
    assert (given_.opened, given_.rejected) == ([], [endpoint(text)])


@pytest.mark.parametrize("announced", [(b"\1\2", 5000), (to_address("10.0.0.2"), 0), (b"", 65536)])
def test_what_is_no_endpoint_is_a_mistake_of_the_helper(announced: tuple[bytes, int]):
    with pytest.raises(AssertionError, match="no endpoint"):
        context().expect(Endpoint(*announced))


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (3, 3, "outside"),
        (0, 7, "outside"),
        (-1, 2, "outside"),
        (1, 4, "already"),
        (4, 6, "overlaps"),
    ],
)
def test_a_replacement_that_cannot_be_raises(start: int, end: int, said: str):
    given_ = context(passed=2)
    given_.replace(3, 5, b"x")
    with pytest.raises(ValueError, match=said):
        given_.replace(start, end, b"y")


@pytest.mark.parametrize(
    ("text", "address"), [("[2001:db8::2]:9", "2001:db8::2"), ("1.2.3.4:9", "1.2.3.4")]
)
def test_an_endpoint_is_written_as_address_and_port(text: str, address: str):
    assert endpoint(text) == Endpoint(to_address(address), 9)


OWN = st.sampled_from(["10,0,0,2", "10,0,0,3", "203,0,113,1", "198,51,100,1"])
LINES = st.lists(
    st.one_of(
        st.builds("PORT {},{},1".format, OWN, st.sampled_from([0, 3, 4, 200])),
        st.sampled_from(["NOOP", "USER x", "EPRT |1|10.0.0.2|1025|", "PORT 1", "QUIT"]),
    ),
    max_size=4,
)


@given(LINES)
def test_the_same_lines_have_the_same_result_in_the_engine(lines: list[str]):
    """What is expected, rewritten and refused; the public ports are the engine's own choice."""
    talk = Talk(Ftp(), CLIENT, INSIDE, OUTSIDE)
    engine = Conversation().open()
    for line in lines:
        heard = talk.client(line)
        engine.events.clear()
        engine.client(line.encode() + b"\r\n")
        happened = engine.events
        expected = [each.announced for each in happened if isinstance(each, Expected)]
        assert [each.announced for each in heard.opened] == expected
        assert (heard.after != heard.line) is any(isinstance(e, Rewritten) for e in happened)
        assert bool(heard.rejected) is any(isinstance(each, Refused) for each in happened)
        # A command is not looked at before the one before it was answered.
        talk.server("200 Fine.")
        engine.server(b"200 Fine.\r\n")


def test_a_server_may_be_the_speaker():
    given_ = ScriptedContext(SERVER, Ends(INNER, OUTER, frozenset()), b"x")
    assert given_.expect(endpoint("198.51.100.1:6000")) == endpoint("198.51.100.1:6000")
