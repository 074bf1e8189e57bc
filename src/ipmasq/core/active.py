"""The policy in force, which has one owner."""

from __future__ import annotations

from ipmasq.core.policy import Policy


class ActivePolicy:
    """Holds the policy that is in force. Every part that decides keeps a reference to this holder and never
    one to the policy itself, so that a change of policy is one assignment."""

    __slots__ = ("policy",)

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
