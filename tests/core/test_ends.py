"""The ends of a flow, from either side."""

from __future__ import annotations

from ipmasq.core.ends import End, Ends, endpoints
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint, to_address

HOST = Endpoint(to_address("10.0.0.2"), 4000)
PUBLIC = Endpoint(to_address("203.0.113.1"), 61000)
REMOTE = Endpoint(to_address("198.51.100.7"), 21)


def test_an_end_is_masqueraded_if_the_other_end_sees_another_endpoint():
    assert End(HOST, PUBLIC).is_masqueraded
    assert not End(REMOTE, REMOTE).is_masqueraded


def test_the_endpoints_of_a_flow_are_the_same_whichever_side_opens_it():
    host, remote = End(HOST, PUBLIC), End(REMOTE, REMOTE)
    expected = (HOST, PUBLIC, REMOTE, REMOTE)
    assert endpoints(Ends(host, remote), Side.INSIDE) == expected
    assert endpoints(Ends(remote, host), Side.OUTSIDE) == expected
