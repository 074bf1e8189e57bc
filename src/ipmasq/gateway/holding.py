"""Public ports are held back where what was known of earlier mappings is lost."""

from __future__ import annotations

import logging

from ipmasq.core.engine import Engine

log = logging.getLogger("ipmasq")


def hold_ports(engine: Engine, now: float) -> Engine:
    """Let an engine that does not know all earlier mappings hold back their ports (see `core.port_hold`). Return it."""
    policy, hold = engine.policy, engine.manager.admission.port_hold
    before, hold.lost_at = hold.filtering, now
    if hold.filtering is not before:
        log.info(
            "for %g s mappings admit only addresses to which their hosts have sent (port_hold), since earlier "
            "ones are not known",
            policy.port_hold,
        )
    return engine
