"""The closed list of reasons: the outcome of a packet, and why something ended."""

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
        """Whether a packet with this reason was dropped."""
        return Reason.MALFORMED <= self < Reason.IDLE

    # Packets that are forwarded or kept.
    TRANSLATED = 0, "translated by a flow's entry"
    PASSED = 1, "passed untranslated, because of a rule or because both ends are inside"
    HOST = 2, "for the gateway host itself"
    HELD = 3, "kept until the rest of it arrives (fragment, or stream data out of order)"
    # Drops.
    MALFORMED = 10, "not a whole, well-formed packet"
    BAD_CHECKSUM = 11, "a checksum that the gateway depends on is wrong"
    UNSUPPORTED = 12, "the protocol cannot be masqueraded"
    SPOOFED = 13, "the source address does not belong to the side from which the packet came"
    MARTIAN = 14, "the address is never routed (loopback, multicast, broadcast, reserved)"
    TTL_EXPIRED = 15, "the time to live expired here"
    RULE_DROP = 16, "a rule, or the default action, drops it"
    NO_FLOW = 17, "a TCP segment that belongs to no flow and does not open one"
    NO_MAPPING = 18, "from outside, to a port of the gateway's range that has no mapping"
    FILTERED = 19, "from outside, to a mapping whose filter does not admit the sender"
    NO_PORTS = 20, "no public port is free"
    TABLE_FULL = 21, "the flow table is full"
    HOST_LIMIT = 22, "the inside host has reached its limit of flows"
    FRAGMENT_LIMIT = 23, "too many fragments, or fragments that do not fit together"
    FRAGMENT_TIMEOUT = 24, "not all fragments of the datagram arrived in time"
    STREAM_LIMIT = (
        25,
        "an inspected stream reached the limit of bytes kept for it, its host, or all streams",
    )
    HELPER_DROP = 27, "the helper failed or refused, and `on_failure` is drop"
    ICMP_UNRELATED = 28, "an ICMP error that belongs to no live flow"
    UNSOLICITED = 29, "from outside, to an inside address, and no rule passes it"
    PORT_LIMIT = 30, "the inside host has reached its limit of public ports"
    FAULT = 31, "an internal error of the gateway; please report it"
    WORK_LIMIT = (
        32,
        "its host has reached the limit of lines that helpers inspect per second",
    )
    ELSEWHERE = 33, "another member of the group serves the inside host or the public address"
    OUTDATED = (
        34,
        "an inspected connection has gone on since its state was recorded, so it cannot continue",
    )
    # Endings.
    IDLE = 40, "its idle time has passed"
    ENDED = 41, "closed by both ends"
    RESET = 42, "reset by one end"
    OPERATOR = 43, "closed by the operator"
    POLICY = 44, "no longer allowed by the policy"
    REPLACED = 45, "replaced by something newer"
    MET = 46, "the expected flow has arrived"
    MASTER_GONE = 47, "its control flow has ended"
    HELPER_UNLOADED = 48, "its helper was unloaded"
    HELPER_STOPPED = 49, "the helper has finished its work"
    ADDRESS_GONE = 50, "the gateway no longer has its public address"
    SHUTDOWN = 51, "the gateway stopped"
    WITHDRAWN = 52, "its announcement is void"
    HELPER_RESTARTED = 53, "its helper could not take over its state, and starts anew"
