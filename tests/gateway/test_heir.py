"""A process that is to take over says why it does not."""

from __future__ import annotations

import socket

import pytest

from ipmasq.gateway.heir import Succession
from ipmasq.planes.plane import PlaneError


def test_one_whose_predecessor_was_killed_says_that_it_has_ended():
    predecessor, successor = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    succession = Succession(f"{successor.detach()},-1,-1")
    predecessor.close()
    with pytest.raises(PlaneError, match="was to take over has ended"):
        succession.run()
