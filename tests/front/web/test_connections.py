"""Which connections are open, and which one is closed when there are too many."""

from __future__ import annotations

import pytest

from ipmasq.front.web.connections import (
    MOST_CONNECTIONS,
    MOST_PER_ADDRESS,
    MOST_STRANGERS,
    Connections,
)

MOST_KNOWN = MOST_CONNECTIONS - MOST_STRANGERS


class Link:
    def __init__(self, is_idle: bool = True) -> None:
        self.is_idle = is_idle
        self.is_closed = False

    def abort(self) -> None:
        self.is_closed = True


def opened(among: Connections, address: str, count: int) -> list[Link]:
    made = [Link() for _ in range(count)]
    for each in made:
        among.add(each, address)
    return made


def test_a_stranger_with_too_many_connections_displaces_his_own():
    among = Connections()
    other = opened(among, "192.0.2.2", 5)
    his = opened(among, "192.0.2.1", MOST_PER_ADDRESS + 10)
    assert [each.is_closed for each in his] == [True] * 10 + [False] * MOST_PER_ADDRESS
    assert not any(each.is_closed for each in other)


def test_strangers_of_many_addresses_displace_those_who_have_the_most():
    among = Connections()
    his = opened(among, "192.0.2.1", MOST_PER_ADDRESS)
    others = [each for host in range(40) for each in opened(among, f"198.51.100.{host}", 1)]
    assert len(among) == MOST_STRANGERS
    assert not any(each.is_closed for each in others)
    assert sum(each.is_closed for each in his) == MOST_PER_ADDRESS + 40 - MOST_STRANGERS


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
def test_addresses_of_one_link_of_ipv6_count_together(first: str, second: str, is_same: bool):
    among = Connections()
    his = opened(among, first, MOST_PER_ADDRESS)
    opened(among, second, 1)
    assert his[0].is_closed == is_same


def test_strangers_close_no_connection_of_a_known_client():
    among = Connections()
    known = opened(among, "192.0.2.1", 20)
    assert all(among.admit(each) for each in known)
    opened(among, "192.0.2.1", 1000)
    assert not any(each.is_closed for each in known)
    assert len(among) == 20 + MOST_PER_ADDRESS
    assert all(among.admit(each) for each in known)


def test_a_known_client_has_the_place_of_an_idle_connection_and_of_no_busy_one():
    among = Connections()
    known = [Link(is_idle=number == 7) for number in range(MOST_KNOWN)]
    for each in known:
        among.add(each, "192.0.2.1")
        assert among.admit(each)
    first, second = opened(among, "192.0.2.1", 2)
    assert among.admit(first)
    assert [number for number, each in enumerate(known) if each.is_closed] == [7]
    first.is_idle = False
    assert not among.admit(second)
    assert not second.is_closed


def test_a_connection_that_is_gone_has_no_place():
    among = Connections()
    known, stranger = opened(among, "192.0.2.1", 2)
    among.admit(known)
    for each in (known, stranger, stranger):
        among.remove(each)
    assert len(among) == 0
    assert not among.admit(stranger)
