"""Messages of netlink, made by hand and by the kernel."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest
from pyroute2 import IPRoute, netns

from ipmasq.planes.netlink import HEADER, Reports, attributes, messages

RTMGRP_LINK = 0x1
RTM_NEWLINK, RTM_DELLINK = 16, 17


def message(kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    return HEADER.pack(HEADER.size + len(body), kind, 0, 0, 0) + padded


def test_messages_follow_each_other_at_multiples_of_four_bytes():
    data = message(16, b"12345") + message(17, b"") + message(18, b"1234")
    assert list(messages(data)) == [(16, b"12345"), (17, b""), (18, b"1234")]


@pytest.mark.parametrize("length", range(HEADER.size))
def test_a_message_shorter_than_its_header_is_the_last(length: int):
    assert list(messages(HEADER.pack(length, 16, 0, 0, 0) + message(17, b""))) == []


def test_attributes_follow_each_other_at_multiples_of_four_bytes():
    data = struct.pack("=HH5s3x", 9, 1, b"12345") + struct.pack("=HH4s", 8, 2, b"1234")
    assert list(attributes(data)) == [(1, b"12345"), (2, b"1234")]
    assert list(attributes(struct.pack("=HH", 3, 1) + data)) == []


@pytest.fixture
def kernel() -> Iterator[IPRoute]:
    """The kernel of a network namespace of this test's own, in which the test runs."""
    name = f"ipmn{os.getpid()}"
    netns.create(name)
    try:
        netns.pushns(name)
        try:
            with IPRoute() as kernel:
                yield kernel
        finally:
            netns.popns()
    finally:
        netns.remove(name)


@pytest.mark.live
def test_reports_come_of_the_namespace_in_which_the_socket_was_made(kernel: IPRoute):
    with closing(Reports(RTMGRP_LINK)) as reports:
        kernel.link("add", ifname="reported", kind="veth", peer="other")
        kernel.link("del", ifname="reported")
        kinds = [report[0] for report in reports.take() if report is not None]
    assert kinds[0] == RTM_NEWLINK
    assert kinds[-1] == RTM_DELLINK


@pytest.mark.live
def test_a_reader_that_is_too_slow_is_told_that_reports_were_lost(kernel: IPRoute):
    with closing(Reports(RTMGRP_LINK)) as reports:
        kernel.link("add", ifname="reported", kind="veth", peer="other")
        index = kernel.link_lookup(ifname="reported")[0]
        for number in range(2000):
            kernel.link("set", index=index, state="down" if number % 2 else "up")
        assert None in list(reports.take())
        assert list(reports.take()) == []
