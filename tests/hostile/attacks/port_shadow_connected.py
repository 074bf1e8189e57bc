"""As port_shadow, with a socket that is connected to the remote end of the flow.

The kernel finds such a socket before it looks for a route (`ip_early_demux`), and does not forward then.
"""

from __future__ import annotations

from tests.hostile.attacks.port_shadow import shadow
from tests.hostile.network import Network
from tests.hostile.verdict import Verdict

REFERENCE = "issue 7, point 8; A-22"
ROWS = ("A-22",)


def attack(network: Network) -> Verdict:
    return shadow(network, connected=True)
