"""Answers to inside hosts whose packets are refused, so that programs fail at once instead of hanging.

If no flow can be opened, an ICMP error says so (RFC 6888, REQ-11B; RFC 5508, REQ-8). A TCP segment of an
unknown connection is answered by a reset (RFC 9293, 3.10.7.1): after a restart that lost the flows, after an
idle time, or when the public address has changed.

Only inside hosts get answers, each at a limited rate of which an unpredictable part is left out. Otherwise
one host could infer from its answers what other hosts do (CVE-2020-25705, attack A-25). Outside hosts never
get any.
"""

from __future__ import annotations

from ipmasq.core.admission import is_inside
from ipmasq.core.budget import Rate
from ipmasq.core.plain import Fields, Plain
from ipmasq.core.policy import Policy
from ipmasq.core.ports import Chance
from ipmasq.core.reasons import Reason
from ipmasq.core.translate import is_intact, set_checksum
from ipmasq.wire import icmp, ipv4, partial, tcp
from ipmasq.wire.addresses import Address, within
from ipmasq.wire.header import Header
from ipmasq.wire.packet import Buffer, Packet

CODES = {
    Reason.NO_PORTS: icmp.HOST_UNREACHABLE,
    Reason.PORT_LIMIT: icmp.HOST_UNREACHABLE,
    Reason.HOST_LIMIT: icmp.HOST_UNREACHABLE,
    Reason.TABLE_FULL: icmp.HOST_UNREACHABLE,
    Reason.UNSUPPORTED: icmp.PROHIBITED,
}
"""Codes of Destination Unreachable. If there is no room at the moment, RFC 6888 (REQ-11B) prefers code 1,
which is a soft error, to the code 13 of RFC 5508 (REQ-8), which is permanent."""

LONGEST = 576
"""The most bytes of an error (RFC 1812, 4.3.2.3)."""

INTERNETWORK_CONTROL = 0xC0
"""The precedence of errors (RFC 1812, 4.3.2.5), now the class selector CS6 (RFC 2474, 4.2.2)."""

MOST_COST = 2
"""An answer costs between one and this many of a host's answers per second."""


class Refusals:
    """Answers to packets from inside that are dropped."""

    def __init__(self, policy: Policy, chance: Chance) -> None:
        self._chance = chance
        limits = policy.limits
        self._errors = Rate(limits.icmp_errors_per_host, limits.icmp_errors)
        self._resets = Rate(limits.resets_per_host, limits.resets)
        self.errors = 0
        self.resets = 0
        """The number of resets that were sent."""
        self.follow(policy)

    def follow(self, policy: Policy) -> None:
        """Replace the policy."""
        self._policy = policy
        limits = policy.limits
        self._errors.per_host, self._errors.total = limits.icmp_errors_per_host, limits.icmp_errors
        self._resets.per_host, self._resets.total = limits.resets_per_host, limits.resets

    def to_state(self, now: float) -> Plain:
        """Return the counters and the debts of hosts as plain values."""
        return {
            "errors": self.errors,
            "resets": self.resets,
            "rate_of_errors": self._errors.to_state(now),
            "rate_of_resets": self._resets.to_state(now),
        }

    def restore(self, state: Fields, now: float) -> None:
        """Take over the counters and debts of a state. Raises StateError."""
        self.errors, self.resets = state.integer("errors"), state.integer("resets")
        self._errors.restore(state.fields("rate_of_errors"), now)
        self._resets.restore(state.fields("rate_of_resets"), now)

    def answer(self, packet: Packet, header: Header, reason: Reason, now: float) -> Packet | None:
        """Return the answer to the sender of a whole datagram that was refused, or None."""
        if not _is_a_host(self._policy, header.source):
            return None
        if reason is Reason.NO_FLOW:
            made = reset(packet, header) if self._policy.resets else None
            if made is None or not self._may(self._resets, header.source, now):
                return None
            self.resets += 1
            return made
        code = CODES.get(reason)
        if code is None or not self._policy.icmp_errors or not _may_be_told(packet.data, header):
            return None
        speaker = _speaker(self._policy, header.source)
        if speaker is None or not self._may(self._errors, header.source, now):
            return None
        self.errors += 1
        return unreachable(packet, header, code, speaker)

    def _may(self, rate: Rate, host: Address, now: float) -> bool:
        """Return whether a host may get one more answer now, and count it."""
        if rate.allowance(host, now) < 1:
            return False
        rate.spend(host, 1 + self._chance(MOST_COST), now)
        return True


def reset(packet: Packet, header: Header) -> Packet | None:
    """Return the reset that answers a segment of an unknown connection, in the other end's name. Return None
    if the segment is a reset itself, or is damaged."""
    data = packet.data
    segment = tcp.read(memoryview(data)[header.length : header.total])
    if segment is None or segment.flags & tcp.RST:
        return None
    if not is_intact(packet, header):
        return None
    sequence, acknowledgment, flags = segment.acknowledgment, 0, tcp.RST
    if not segment.flags & tcp.ACK:
        length = header.total - header.length - segment.length
        length += bool(segment.flags & tcp.SYN) + bool(segment.flags & tcp.FIN)
        sequence, acknowledgment = 0, tcp.advance(segment.sequence, length)
        flags = tcp.RST | tcp.ACK
    answer = tcp.Segment(
        segment.destination_port,
        segment.source_port,
        sequence,
        acknowledgment,
        flags,
        window=0,
        checksum=0,
        urgent=0,
        options=b"",
    )
    made = ipv4.write(header.destination, header.source, ipv4.TCP, tcp.write(answer))
    set_checksum(made, ipv4.HEADER, ipv4.TCP)
    return Packet(made, note=packet.note)


def unreachable(packet: Packet, header: Header, code: int, speaker: Address) -> Packet:
    """Return the error that says why a packet is dropped, from the gateway's address `speaker`."""
    quoted = bytearray(packet.data[: header.total])
    if packet.partial:
        partial.complete(quoted)
    message = bytearray((icmp.UNREACHABLE, code, 0, 0, 0, 0, 0, 0))
    message += quoted[: LONGEST - ipv4.HEADER - icmp.HEADER]
    icmp.set_checksum(message)
    made = ipv4.write(speaker, header.source, ipv4.ICMP, message)
    ipv4.replace(made, 0, bytes((made[0], INTERNETWORK_CONTROL)))
    return Packet(made, note=packet.note)


def _may_be_told(data: Buffer, header: Header) -> bool:
    """Return False for ICMP errors, and for what might be one (RFC 1812, 4.3.2.7). Of the other conditions
    there, packets with a group address never come here, and fragments are reassembled."""
    return header.protocol != ipv4.ICMP or data[header.length] == icmp.ECHO


def _is_a_host(policy: Policy, source: Address) -> bool:
    """Return whether an address can be that of one inside host (RFC 1812, 4.3.2.7): not the gateway's own,
    and neither the first nor the last of a network."""
    if source in policy.own:
        return False
    for network in policy.inside:
        bits = 8 * len(source) - network.length
        if bits > 1 and source in network:
            within = int.from_bytes(source, "big") & ((1 << bits) - 1)
            if within in (0, (1 << bits) - 1):
                return False
    return True


def _speaker(policy: Policy, host: Address) -> Address | None:
    """Return the gateway's address in the network of an inside host (RFC 1812, 4.3.2.4), else any of its
    inside addresses, else a public one; None if it has none at all."""
    near = [network for network in policy.inside if host in network]
    mine = sorted(address for address in policy.own if is_inside(policy, address))
    for address in mine:
        if within(address, near):
            return address
    if mine:
        return mine[0]
    return policy.public[0] if policy.public else None
