"""One rule that accepts packets, in the words of each tool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ipmasq.gateway.firewall.chains import Condition, Rule, Verdict
from ipmasq.planes.ebpf.layout import ADMITTED

MARK = f"{ADMITTED:#x}"


@dataclass(frozen=True, slots=True)
class Accept:
    """What the packets have in common; what is empty is not tested. An interface name may end with `*`."""

    iif: str = ""
    oif: str = ""
    source: str = ""
    target: str = ""
    protocol: str = ""
    port: str = ""
    """The destination port, or a range `1000-2000`. Only with a protocol that has ports."""
    established: bool = False
    marked: bool = False
    """Only what the gateway has admitted."""

    def nft(self) -> str:
        words = [
            f'{key} "{name}"'
            for key, name in (("iifname", self.iif), ("oifname", self.oif))
            if name
        ]
        words += [
            f"ip {key} {address}"
            for key, address in (("saddr", self.source), ("daddr", self.target))
            if address
        ]
        if self.port:
            words.append(f"{self.protocol} dport {self.port}")
        elif self.protocol:
            words.append(f"meta l4proto {self.protocol}")
        words += ["ct state established,related"] * self.established
        words += [f"meta mark and {MARK} == {MARK}"] * self.marked
        return " ".join([*words, "accept"])

    def iptables(self) -> str:
        given = (
            ("-i", self.iif.replace("*", "+")),
            ("-o", self.oif.replace("*", "+")),
            ("-s", self.source),
            ("-d", self.target),
            ("-p", self.protocol),
            ("--dport", self.port.replace("-", ":")),
        )
        words = [f"{key} {value}" for key, value in given if value]
        words += ["-m conntrack --ctstate ESTABLISHED,RELATED"] * self.established
        words += [f"-m mark --mark {MARK}/{MARK}"] * self.marked
        return " ".join([*words, "-j ACCEPT"])

    def ufw(self) -> str | None:
        """Return the command; None if ufw has no words for it."""
        if self.established or self.protocol not in ("", "tcp", "udp"):
            return None
        words = [f"{key} on {name}" for key, name in (("in", self.iif), ("out", self.oif)) if name]
        words += [f"proto {self.protocol}"] * bool(self.protocol)
        words += [f"from {self.source}"] * bool(self.source)
        if self.target or self.port:
            words.append(f"to {self.target or 'any'}")
        words += [f"port {self.port.replace('-', ':')}"] * bool(self.port)
        return f"ufw route allow {' '.join(words)}".replace("*", "+")

    def rule(self) -> Rule:
        """Return the rule as it is evaluated. Marks are not known there."""
        return Rule(tuple(self._conditions()), Verdict.ACCEPT)

    def _conditions(self) -> Iterator[Condition]:
        given = (
            ("iif", self.iif),
            ("oif", self.oif),
            ("saddr", self.source),
            ("daddr", self.target),
            ("proto", self.protocol),
            ("dport", self.port),
        )
        yield from (Condition(key, (value,)) for key, value in given if value)
        if self.established:
            yield Condition("state", ("established", "related"))
