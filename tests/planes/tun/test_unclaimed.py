"""A netlink socket of long life keeps nothing for which nobody waits. Needs no root: links are read."""

from __future__ import annotations

from pyroute2 import IPRoute

from ipmasq.planes.tun.unclaimed import forget_unclaimed

LOOPBACK = 1


def test_acknowledgments_that_nobody_reads_are_let_go() -> None:
    with IPRoute() as kernel:
        for _ in range(10):
            kernel.get_links(LOOPBACK)
        assert forget_unclaimed(kernel) == 10
        assert forget_unclaimed(kernel) == 0


def test_answers_still_come_afterwards() -> None:
    with IPRoute() as kernel:
        kernel.get_links(LOOPBACK)
        forget_unclaimed(kernel)
        assert kernel.link_lookup(ifname="lo") == [LOOPBACK]
