"""A small network of Linux network namespaces in which to try a gateway.

    in1 in2 ..  ── lan1 ── gw1 ──┐
                                 ├── transit ── net ── far ── out1 out2 ..
    far1 far2 .. ── lan2 ── gw2 ─┘

`gw1` and `gw2` have a private network behind them and one public address each; `net` is the Internet:
it routes between their addresses and the outside hosts and has no route to any private address. Both
private networks are 10.0.0.0/24 by default, so their addresses overlap.

This package is independent of the gateway that runs in it.
"""

from ipmasq.lab.lab import Lab, LabError
from ipmasq.lab.plan import Host, Layout, Plan, draw

__all__ = ["Host", "Lab", "LabError", "Layout", "Plan", "draw"]
