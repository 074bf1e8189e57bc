"""The TCP state machine of a NAT (RFC 7857, figure 1). C is the end that opened the flow, S the other.

    INIT --S SYN--> ESTABLISHED --C FIN--> C_FIN --S FIN--> C_S_FIN
                         |  ^  \\--S FIN--> S_FIN --C FIN-->/
                       RST  data
                         v  |
                        TRANS                    (every state but these two: RST --> TRANS)

Other inputs leave the state unchanged. A reset counts only if it stands exactly at the position in the stream
(see `Half`); otherwise an off-path host could end flows by guessing ports (RFC 7857, 2.2).
"""

from __future__ import annotations

from enum import IntEnum

from ipmasq.core.policy import Timeouts


class State(IntEnum):
    ACTIVE = 0
    """The state of other protocols."""
    INIT = 1
    ESTABLISHED = 2
    C_FIN = 3
    S_FIN = 4
    C_S_FIN = 5
    TRANS = 6

    def __str__(self) -> str:
        """Return the name in RFC 7857."""
        return "c+s-fin" if self is State.C_S_FIN else self.name.lower().replace("_", "-")


CONNTRACK = {
    State.INIT: "SYN_SENT",
    State.ESTABLISHED: "ESTABLISHED",
    State.C_FIN: "FIN_WAIT",
    State.S_FIN: "CLOSE_WAIT",
    State.C_S_FIN: "TIME_WAIT",
    State.TRANS: "CLOSE",
}
"""The state that `conntrack -L` prints for a TCP flow, seen from the client. (Unlike conntrack, this machine
does not follow acknowledgments of FINs.)"""

UNREPLIED, SEEN_REPLY = "UNREPLIED", "SEEN_REPLY"
"""What `conntrack -u` calls flows of other protocols: one direction was seen, or both."""

NAMES = (*CONNTRACK.values(), UNREPLIED, SEEN_REPLY)
"""Every name of a state for people."""


def shown(state: State, is_replied: bool) -> str:
    """Return the name of a state for people."""
    return CONNTRACK.get(state, SEEN_REPLY if is_replied else UNREPLIED)


class Input(IntEnum):
    """The meaning of a segment for the state."""

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
"""Both ends have closed, or one has reset the connection, so that a new SYN opens a new flow."""


def following(state: State, event: Input) -> State:
    return TABLE.get((state, event), state)


def timeout(state: State, timeouts: Timeouts) -> float:
    """Return the idle seconds after which a TCP flow in this state expires."""
    if state is State.INIT:
        return timeouts.tcp_opening
    if state in OVER:
        return timeouts.tcp_closing
    return timeouts.tcp_established
