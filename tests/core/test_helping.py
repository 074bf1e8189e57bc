"""Which helper is bound to which flow."""

from __future__ import annotations

import pytest

from ipmasq.core.flow import End
from ipmasq.core.helping import binding, verdicts
from ipmasq.core.registered import Registered
from ipmasq.wire.addresses import Endpoint, to_address
from tests.conformance.packets import TCP, UDP
from tests.core.announcer import use

INSIDE, PUBLIC, REMOTE = (to_address(a) for a in ("10.0.0.2", "203.0.113.1", "198.51.100.1"))
CLIENT = End(Endpoint(INSIDE, 4000), Endpoint(PUBLIC, 61000))
SERVER = End(Endpoint(REMOTE, 21), Endpoint(REMOTE, 21))
STRANGER = End(Endpoint(REMOTE, 4000), Endpoint(REMOTE, 4000))
PUBLISHED = End(Endpoint(INSIDE, 8021), Endpoint(PUBLIC, 2121))


def registered(*uses):  # type: ignore[no-untyped-def]
    return {use.name: Registered(use) for use in uses}


@pytest.mark.parametrize(("port", "by"), [(8021, "destination port"), (2121, "public port")])
def test_a_helper_is_bound_by_the_servers_own_port_or_by_its_public_one(port: int, by: str):
    found = binding(registered(use("one", port)), TCP, STRANGER, PUBLISHED)
    assert found is not None
    assert (found.helper.use.name, found.port, found.by) == ("one", port, by)


def test_the_servers_own_port_is_the_stronger_one():
    found = binding(registered(use("public", 2121), use("own", 8021)), TCP, STRANGER, PUBLISHED)
    assert found is not None
    assert found.helper.use.name == "own"


def test_a_helper_that_is_not_orthogonal_leaves_a_published_server_to_the_next_one():
    helpers = registered(use("first", 8021, orthogonal=False), use("second", 2121))
    found = binding(helpers, TCP, STRANGER, PUBLISHED)
    assert found is not None
    assert found.helper.use.name == "second"
    assert binding(helpers, TCP, CLIENT, SERVER) is None


def test_a_helper_of_another_protocol_is_never_bound_and_the_verdict_says_so():
    helpers = registered(use("one", 21))
    assert binding(helpers, UDP, CLIENT, SERVER) is None
    (verdict,) = verdicts(helpers, UDP, CLIENT, SERVER)
    assert (verdict.bound, verdict.reason) == (False, "it is for another protocol")
