"""The kernel's own helpers (nf_conntrack_ftp), which would read and rewrite the same announcements."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host

SUBJECT = "kernel helpers"
EFFECT = "the kernel and the gateway both act on FTP announcements, and may open or rewrite different ones"
SETTING = "net.netfilter.nf_conntrack_helper"  # until Linux 5.19

NFT_TABLE = re.compile(r"table (\w+ \S+) \{")
NFT_CHAIN = re.compile(r"\s+chain (\S+) \{")
NFT_RULE = re.compile(r"\s+(.*\bct helper set\b.*?) # handle (\d+)")
IPTABLES_TABLE = re.compile(r"\*(\w+)")
IPTABLES_RULE = re.compile(r"-A (.*-j CT .*--helper .*)")


def find(host: Host) -> Iterator[Finding]:
    if host.setting(SETTING) == "1":
        command = f"sysctl -w {SETTING}=0"
        yield Finding(SUBJECT, f"{SETTING} is 1", EFFECT, "", (command,), safe=True)
    table = chain = ""
    for line in host.rules.splitlines():
        if found := NFT_TABLE.match(line) or IPTABLES_TABLE.match(line):
            table = found[1]
        elif found := NFT_CHAIN.match(line):
            chain = found[1]
        elif found := NFT_RULE.match(line):
            command = f"nft delete rule {table} {chain} handle {found[2]}"
            yield _assigned(f"nft {table}, chain {chain}: {found[1].strip()}", command)
        elif found := IPTABLES_RULE.match(line):
            yield _assigned(f"iptables {table}: {line}", f"iptables -t {table} -D {found[1]}")


def _assigned(rule: str, command: str) -> Finding:
    return Finding(
        SUBJECT, f"a rule assigns a helper of the kernel: {rule}", EFFECT, "", (command,)
    )
