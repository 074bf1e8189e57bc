"""Ports that a pool has and that must not be given out all the same."""

from __future__ import annotations

from dataclasses import replace

from ipmasq.core.barred import MOST_ASKED, Barred
from ipmasq.core.host import HostPorts, SocketMatch
from ipmasq.core.keys import endpoint_key
from ipmasq.core.mapping import Mapping
from ipmasq.core.policy import Forward, Policy, PortRange, Trigger
from ipmasq.core.ports import PortPool
from ipmasq.wire.addresses import Endpoint
from tests.conformance.packets import TCP, UDP
from tests.conformance.world import E1, E2, IN1, OUT1, POLICY

REMOTE = Endpoint(OUT1, 53)


def barred(
    *, host: HostPorts | None = None, mapping: Mapping | None = None, **policy: object
) -> Barred:
    """Of UDP at E1, for a flow to REMOTE."""
    changed: Policy = replace(POLICY, **policy)  # type: ignore[arg-type]

    def mapping_at(protocol: int, public: Endpoint) -> Mapping | None:
        return mapping if mapping and (protocol, public) == (UDP, mapping.public) else None

    return Barred(changed, host or HostPorts(), mapping_at, UDP, E1, REMOTE)


def test_of_a_plain_policy_nothing_is_barred():
    assert not any(port in barred() for port in range(1, 65536, 97))


def test_what_the_host_listens_on_is_barred_for_its_protocol():
    host = HostPorts()
    host.reserved = frozenset({(UDP, 61000), (TCP, 61001)})
    assert 61000 in barred(host=host)
    assert 61001 not in barred(host=host)


def test_forwarded_ports_are_barred_at_the_address_at_which_they_are():
    for public, expected in ((None, True), (E1, True), (E2, False)):
        forward = Forward("web", UDP, public, PortRange(61000, 61001), IN1, 80)
        assert (61001 in barred(forwards=(forward,))) is expected
    other = Forward("web", TCP, None, PortRange(61000, 61001), IN1, 80)
    assert 61001 not in barred(forwards=(other,))


def test_ports_that_a_trigger_opens_are_barred():
    trigger = Trigger("talk", TCP, PortRange(6000, 6000), UDP, PortRange(61000, 61001), 30)
    assert 61001 in barred(triggers=(trigger,))
    assert 61002 not in barred(triggers=(trigger,))


def test_a_port_with_a_mapping_is_barred_whatever_pool_it_is_from():
    pool: PortPool[Mapping] = PortPool(UDP, E1, PortRange(61000, 61009))
    mapping = Mapping(endpoint_key(UDP, Endpoint(IN1, 5000)), pool, 61003)
    assert 61003 in barred(mapping=mapping)
    assert 61004 not in barred(mapping=mapping)
    mapping_at = {61003: mapping}
    sharing = Barred(
        POLICY, HostPorts(), lambda _, public: mapping_at.get(public.port), UDP, E1, REMOTE, pool
    )
    assert 61003 not in sharing, "flows of this pool may share it"


def test_a_port_with_a_socket_of_the_host_is_barred_at_addresses_of_its_own_only():
    host = HostPorts()
    host.find_socket = lambda protocol, remote, local: (
        SocketMatch.ANY_REMOTE if (remote, local.port) == (REMOTE, 61000) else SocketMatch.NONE
    )
    assert 61000 in barred(host=host)
    assert 61001 not in barred(host=host)
    assert 61000 not in barred(host=host, own=frozenset())


def test_of_a_host_that_has_sockets_everywhere_not_every_port_is_asked_about():
    asked = []
    host = HostPorts()
    host.find_socket = lambda protocol, remote, local: (
        asked.append(local.port) or SocketMatch.ANY_REMOTE
    )
    ports = barred(host=host)
    found = [port in ports for port in range(61000, 61000 + 2 * MOST_ASKED)]
    assert found == [True] * MOST_ASKED + [False] * MOST_ASKED
    assert len(asked) == MOST_ASKED
