"""Which helper inspects which flow, and why another one does not."""

from __future__ import annotations

import pytest

from ipmasq.core.ends import End
from ipmasq.core.helping import binding, verdicts
from ipmasq.core.policy import HelperUse
from ipmasq.core.registered import Registered
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire.addresses import Endpoint
from tests.conformance.packets import TCP, UDP
from tests.conformance.world import E1, IN1, OUT1

MASQUERADED = End(Endpoint(IN1, 5000), Endpoint(E1, 61000))


def helpers(*uses: HelperUse) -> dict[str, Registered]:
    return {use.name: Registered(use) for use in uses}


def use(
    name: str, *ports: int, orthogonal: bool = True, source_ports: tuple[int, ...] = ()
) -> HelperUse:
    return HelperUse(
        name, Ftp, TCP, frozenset(ports), orthogonal, source_ports=frozenset(source_ports)
    )


def server(port: int, public: int | None = None) -> End:
    """Outside; or inside, published at another port."""
    if public is None:
        return End(Endpoint(OUT1, port), Endpoint(OUT1, port))
    return End(Endpoint(IN1, port), Endpoint(E1, public))


STRANGER = End(Endpoint(OUT1, 5000), Endpoint(OUT1, 5000))


@pytest.mark.parametrize(
    ("client", "reached", "expected"),
    [
        (MASQUERADED, server(21), ("ftp", 21, "destination port")),
        (STRANGER, server(21, public=2121), ("ftp", 21, "destination port")),
        (STRANGER, server(2121, public=21), ("ftp", 21, "public port")),
        (MASQUERADED, server(80), None),
        (STRANGER, server(80, public=8080), None),
    ],
)
def test_a_helper_is_bound_by_a_port_of_the_server(
    client: End, reached: End, expected: tuple[str, int, str] | None
):
    found = binding(helpers(use("ftp", 21)), TCP, client, reached)
    assert (found and (found.helper.use.name, found.port, found.by)) == expected


def test_the_port_that_the_server_listens_on_goes_before_the_one_by_which_it_was_reached():
    known = helpers(use("other", 2121), use("ftp", 21))
    found = binding(known, TCP, STRANGER, server(21, public=2121))
    assert found is not None
    assert found.helper.use.name == "ftp"


def test_the_clients_port_binds_only_where_the_operator_says_so():
    client = End(Endpoint(IN1, 21), Endpoint(E1, 61000))
    assert binding(helpers(use("ftp", 21)), TCP, client, server(80)) is None
    found = binding(helpers(use("ftp", 21, source_ports=(21,))), TCP, client, server(80))
    assert found is not None
    assert found.by == "source port"
    outside = End(Endpoint(OUT1, 21), Endpoint(OUT1, 21))
    assert (
        binding(helpers(use("ftp", source_ports=(21,))), TCP, outside, server(80, public=80))
        is None
    )


def test_a_helper_that_is_not_orthogonal_serves_masqueraded_clients_only():
    known = helpers(use("ftp", 21, orthogonal=False))
    assert binding(known, TCP, MASQUERADED, server(21)) is not None
    assert binding(known, TCP, STRANGER, server(21, public=21)) is None


def test_a_helper_of_another_protocol_is_not_bound():
    assert binding(helpers(use("ftp", 21)), UDP, MASQUERADED, server(21)) is None


def test_every_helper_gets_a_verdict_and_the_bound_one_is_the_binding():
    known = helpers(use("ftp", 21), use("late", 21), use("web", 80))
    found = {
        verdict.helper: (verdict.bound, verdict.reason)
        for verdict in verdicts(known, TCP, MASQUERADED, server(21))
    }
    assert found == {
        "ftp": (True, "by the destination port, 21"),
        "late": (False, "ftp was bound before it"),
        "web": (False, "its ports are 80"),
    }
