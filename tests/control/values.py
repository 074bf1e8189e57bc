"""Any JSON value that a request may have, the likely texts above all."""

from __future__ import annotations

from hypothesis import strategies as st

TEXTS = st.sampled_from(
    [
        "10.0.0.2",
        "10.0.0.2:5000",
        "198.51.100.1:53",
        "::1",
        "[::1]:9",
        "tcp",
        "udp",
        "icmp",
        "gre",
        "web",
        "finger",
        "1-65535",
        "65535-1",
        "0",
        "-1",
        "inside",
        "outside",
        "flow_opened",
    ]
)

JSON_TEXTS = TEXTS | st.text(st.characters(categories=None), max_size=9)  # halves of pairs, too

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | JSON_TEXTS

VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(JSON_TEXTS, inner, max_size=4),
    max_leaves=20,
)
"""As deep as without these sizes, and five times as fast to make."""
