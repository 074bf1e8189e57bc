"""Compiles the checked model into the policy for the engine."""

from __future__ import annotations

from ipmasq.config.host_state import HostState
from ipmasq.config.loading import Loaded
from ipmasq.config.model import Config
from ipmasq.config.problems import ConfigError
from ipmasq.config.public_ports import given_out
from ipmasq.config.sides import resolve
from ipmasq.config.tables import forward, rule, share, trigger
from ipmasq.core.policy import Behaviour, Limits, Policy, Ports, Timeouts
from ipmasq.wire.addresses import to_text


def compile(loaded: Loaded, here: HostState) -> Policy:
    """Return the policy for the present state of this machine. Reads nothing and runs no helper's code, so it
    may be called whenever an address has changed.

    `public` is empty while the outside interface has no address. `ttl_delta` is left to the plane. Raises
    ConfigError if the file has mistakes, or if an inside network holds a public address.
    """
    if loaded.problems:
        raise ConfigError("\n".join(map(str, loaded.problems)))
    config = loaded.config
    gateway, sides = config.gateway, resolve(config.gateway, here)
    for address in sides.public:
        for network in sides.networks:
            if address in network:
                raise ConfigError(
                    f"the public address {to_text(address)} is in the inside network {network}"
                )
    ports, data_ports = given_out(gateway, here)
    sharing = gateway.mapping is Behaviour.ADDRESS_AND_PORT_DEPENDENT
    return Policy(
        inside=sides.networks,
        public=sides.public,
        shares=tuple(map(share, config.share.values())),
        own=here.own,
        ports=ports,
        data_ports=data_ports,
        mapping=gateway.mapping,
        filtering=gateway.filtering,
        port_hold=gateway.port_hold,
        rules=tuple(map(rule, config.rule.values())),
        default_action=gateway.default_action,
        forwards=tuple(map(forward, config.forward.values())),
        triggers=tuple(map(trigger, config.trigger.values())),
        icmp_errors=gateway.icmp_errors,
        resets=gateway.resets,
        helpers=tuple(loaded.helpers.values()),
        timeouts=Timeouts(**dict(config.timeouts)),
        limits=limits(config, data_ports if sharing and data_ports else ports, here.memory),
    )


STREAM_SHARE = 16
"""The default fraction of the memory for inspected streams,"""
FLOW_SHARE = 2
"""that for flows,"""
FLOW_BYTES = 2048
"""the bytes of a flow in the engine and the fast path (`engine.flow.bytes` of `make bench`, with a margin),"""
HOST_SHARE = 8
"""and the fraction of the streams' memory for one host."""


def affordable_flows(memory: int) -> int:
    """Return the number of flows that fit into so many bytes."""
    return max(1, memory // FLOW_SHARE // FLOW_BYTES)


def limits(config: Config, ports: Ports, memory: int) -> Limits:
    """Return the limits. Missing ones follow from other settings or from `memory` (bytes): a host leaves a
    quarter of the public ports (if ports are shared, of those that are not) to the others."""
    said = dict(config.limits)
    said["flows"] = said["flows"] or min(Limits().flows, affordable_flows(memory))
    said["ports_per_host"] = said["ports_per_host"] or max(1, ports.size * 3 // 4)
    total = said["stream_memory"] = said["stream_memory"] or memory // STREAM_SHARE
    said["stream_memory_per_host"] = said["stream_memory_per_host"] or max(1, total // HOST_SHARE)
    return Limits(**said)
