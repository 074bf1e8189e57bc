"""What is not examined is named."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ipmasq.doctor.rights import _left_out, left_out

NET_ADMIN, SYS_ADMIN = 1 << 12, 1 << 21


@pytest.mark.parametrize(
    ("known", "ethtool", "words"),
    [
        (NET_ADMIN | SYS_ADMIN, True, []),
        (NET_ADMIN, True, ["TCX programs"]),
        (0, True, ["the rules of the host's firewall", "TCX programs"]),
        (NET_ADMIN | SYS_ADMIN, False, ["offloads"]),
    ],
)
def test_each_right_that_is_missing_leaves_something_out(
    known: int, ethtool: bool, words: list[str]
):
    found = list(_left_out(known, ethtool))
    assert len(found) == len(words)
    assert all(text.startswith(word) for text, word in zip(found, words, strict=True))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have rights to lose")
def test_a_process_without_rights_finds_out_that_it_has_none():
    code = "from ipmasq.doctor.rights import left_out; print(len(left_out()))"
    # Still root, since another user may not enter root's home, where this may be.
    command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", sys.executable]
    done = subprocess.run([*command, "-c", code], capture_output=True, text=True, check=False)
    assert int(done.stdout) >= 2, done.stderr
    assert len(left_out()) < int(done.stdout)
