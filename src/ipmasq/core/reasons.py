"""The closed list of reasons: what became of a packet, and why something ended."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Each reason has a name for machines (`reason.name.lower()`) and a sentence for people."""

    sentence: str

    def __new__(cls, value: int, sentence: str) -> Reason:
        member = int.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    @property
    def is_drop(self) -> bool:
        """Whether a packet that met this reason went nowhere, for good."""
        return Reason.MALFORMED <= self < Reason.IDLE

    # What became of a packet that goes on.
    TRANSLATED = 0, "translated by a flow's entry"
    PASSED = 1, "passed untouched, as a rule says or because both ends are inside"
    HOST = 2, "for the gateway host itself"
    HELD = 3, "kept until the rest of it arrives (fragment, or stream data out of order)"
    # Drops.
    MALFORMED = 10, "not a whole, well-formed packet"
    BAD_CHECKSUM = 11, "a checksum that had to be right was wrong"
    UNSUPPORTED = 12, "a protocol that cannot be masqueraded"
    SPOOFED = 13, "a source address that does not belong to the side it came from"
    MARTIAN = 14, "an address that is never routed (loopback, multicast, broadcast, reserved)"
    TTL_EXPIRED = 15, "its time to live ran out here"
    RULE_DROP = 16, "a rule, or the default action, says drop"
    NO_FLOW = 17, "a TCP segment of no known flow that does not open one"
    NO_MAPPING = 18, "from outside, to a port of the gateway's range that nobody uses"
    FILTERED = 19, "from outside, to a mapping whose filter does not admit the sender"
    NO_PORTS = 20, "no public port is free"
    TABLE_FULL = 21, "the table of flows is full"
    HOST_LIMIT = 22, "the inside host has as many flows as it may have"
    FRAGMENT_LIMIT = 23, "too many or too odd fragments; the datagram was given up"
    FRAGMENT_TIMEOUT = 24, "a datagram whose fragments did not all arrive in time"
    STREAM_LIMIT = (
        25,
        "a watched stream sent more than may be kept for it, its host, or all of them",
    )
    HELPER_DROP = 27, "the helper failed or refused, and its policy is drop"
    ICMP_UNRELATED = 28, "an ICMP error about no live flow"
    UNSOLICITED = 29, "from outside, to an inside address that no rule lets through"
    PORT_LIMIT = 30, "the inside host has as many public ports as it may have"
    FAULT = 31, "handling the packet failed: a fault of the gateway's own, please report it"
    WORK_LIMIT = (
        32,
        "its host has had as many lines looked at by helpers as it may have in a second",
    )
    # Endings.
    IDLE = 40, "idle for its whole time"
    ENDED = 41, "closed by both ends"
    RESET = 42, "reset by an end"
    OPERATOR = 43, "closed by the operator"
    POLICY = 44, "no longer allowed by the policy"
    REPLACED = 45, "replaced by something newer"
    MET = 46, "the flow that was promised has come"
    MASTER_GONE = 47, "the control flow that promised it has ended"
    HELPER_UNLOADED = 48, "its helper was unloaded"
    HELPER_STOPPED = 49, "the helper has no more to look for"
    ADDRESS_GONE = 50, "its public address is no longer ours"
    SHUTDOWN = 51, "the gateway stopped"
    WITHDRAWN = 52, "whoever announced it has begun anew"
