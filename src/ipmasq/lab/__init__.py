"""A small network of Linux network namespaces to try a gateway in.

    in1 in2 ..  ── lan1 ── gw1 ──┐
                                 ├── transit ── net ── far ── out1 out2 ..
    far1 far2 .. ── lan2 ── gw2 ─┘

`gw1` and `gw2` have a private network behind them and one public address each; `net` is the Internet:
it routes between their addresses and the outside hosts and knows no way to any private address. Both
private networks are 10.0.0.0/24 unless told otherwise, as private networks are.

This package stands alone: it knows nothing of the gateway that is tried in it.
"""

from ipmasq.lab.lab import Lab, LabError
from ipmasq.lab.plan import Host, Layout, Plan, draw

__all__ = ["Host", "Lab", "LabError", "Layout", "Plan", "draw"]
