"""The corpus of FTP lines: what each becomes here. What others do with them is documentation."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from ipmasq.helpers.ftp import Ftp
from ipmasq.testing import CLIENT, SERVER, Talk, endpoint, wire

LINES = tomllib.loads((Path(__file__).parent / "ftp_lines.toml").read_text(encoding="utf-8"))[
    "line"
]
SPEAKERS = {"client": CLIENT, "server": SERVER}
PEERS = {
    *("netfilter", "conntrack_tools", "libalias", "ovs", "ftp_proxy"),
    *("linux_2_0", "linux_2_2"),
}


@pytest.mark.parametrize(
    "entry",
    [pytest.param(e, id=e["line"][:40], marks=pytest.mark.row(e["row"])) for e in LINES],
)
def test_every_line_of_the_corpus_gets_its_verdict(entry):
    speaker = SPEAKERS[entry["says"]]
    talk = Talk(Ftp(), speaker.other if entry.get("plain") else speaker)
    for said in entry.get("after", ()):
        (talk.client if said.startswith("C: ") else talk.server)(said[3:])
    heard = (talk.client if speaker is CLIENT else talk.server)(entry["line"])
    assert heard.after == wire(entry.get("becomes", entry["line"]))
    assert [o.announced for o in heard.opened] == [
        endpoint(text) for text in [entry.get("opens")] if text
    ]


def test_no_line_is_listed_twice_under_the_same_circumstances():
    keys = Counter((e["says"], e["line"], *e.get("after", ())) for e in LINES)
    assert [key for key, count in keys.items() if count > 1] == []


def test_what_peers_do_is_told_in_four_words():
    told = [(peer, verdict) for e in LINES for peer, verdict in e.get("peers", {}).items()]
    assert {peer for peer, _ in told} == PEERS
    assert {verdict for _, verdict in told} == {"reads", "passes", "drops", "misreads"}
