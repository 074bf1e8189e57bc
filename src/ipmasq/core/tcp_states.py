"""The TCP state machine of a NAT (RFC 7857, figure 1). C is the end that opened the flow, S the other.

    INIT --S SYN--> ESTABLISHED --C FIN--> C_FIN --S FIN--> C_S_FIN
                         |  ^  \\--S FIN--> S_FIN --C FIN-->/
                       RST  data
                         v  |
                        TRANS                    (every state but these two: RST --> TRANS)

What is not in the table leaves the state as it is. A reset counts only if it stands at the exact place
in the stream (see `Half`), or an off-path host could end flows by guessing ports (RFC 7857, 2.2).
"""

from __future__ import annotations

from enum import IntEnum

from ipmasq.core.policy import Timeouts


class State(IntEnum):
    ACTIVE = 0
    """Not TCP."""
    INIT = 1
    ESTABLISHED = 2
    C_FIN = 3
    S_FIN = 4
    C_S_FIN = 5
    TRANS = 6

    def __str__(self) -> str:
        """As RFC 7857 writes it."""
        return "c+s-fin" if self is State.C_S_FIN else self.name.lower().replace("_", "-")


CONNTRACK = {
    State.INIT: "SYN_SENT",
    State.ESTABLISHED: "ESTABLISHED",
    State.C_FIN: "FIN_WAIT",
    State.S_FIN: "CLOSE_WAIT",
    State.C_S_FIN: "TIME_WAIT",
    State.TRANS: "CLOSE",
}
"""What `conntrack -L` prints of a TCP flow, seen from the end that opened it. (It goes by the
acknowledgments of FINs as well, which this machine does not follow.)"""

UNREPLIED, SEEN_REPLY = "UNREPLIED", "SEEN_REPLY"
"""What `conntrack -u` calls flows of other protocols: one direction was seen, or both."""

NAMES = (*CONNTRACK.values(), UNREPLIED, SEEN_REPLY)
"""Every name that people see."""


def shown(state: State, is_replied: bool) -> str:
    """The state as people know it."""
    return CONNTRACK.get(state, SEEN_REPLY if is_replied else UNREPLIED)


class Input(IntEnum):
    """What a segment means for the state."""

    CLIENT_SYN = 0
    SERVER_SYN = 1
    CLIENT_FIN = 2
    SERVER_FIN = 3
    RESET = 4
    DATA = 5


TABLE: dict[tuple[State, Input], State] = {
    (State.INIT, Input.SERVER_SYN): State.ESTABLISHED,
    (State.INIT, Input.RESET): State.TRANS,
    (State.ESTABLISHED, Input.CLIENT_FIN): State.C_FIN,
    (State.ESTABLISHED, Input.SERVER_FIN): State.S_FIN,
    (State.ESTABLISHED, Input.RESET): State.TRANS,
    (State.C_FIN, Input.SERVER_FIN): State.C_S_FIN,
    (State.C_FIN, Input.RESET): State.TRANS,
    (State.S_FIN, Input.CLIENT_FIN): State.C_S_FIN,
    (State.S_FIN, Input.RESET): State.TRANS,
    (State.TRANS, Input.DATA): State.ESTABLISHED,
}

OVER = frozenset((State.C_S_FIN, State.TRANS))
"""Both ends have said all, or one has broken off: a new SYN opens a new flow."""


def following(state: State, event: Input) -> State:
    return TABLE.get((state, event), state)


def timeout(state: State, timeouts: Timeouts) -> float:
    """Idle seconds after which a TCP flow in this state is forgotten."""
    if state is State.INIT:
        return timeouts.tcp_opening
    if state in OVER:
        return timeouts.tcp_closing
    return timeouts.tcp_established
