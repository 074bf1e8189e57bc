"""The listings of Linux 2.0, to the column."""

from __future__ import annotations

from typing import Any

from ipmasq.front import classic
from tests.control.running import Running, conversation
from tests.front.conftest import Ipmasq


def flow(**changes: Any) -> dict[str, Any]:
    return {
        "protocol": "tcp",
        "inside": {"address": "192.168.1.2", "port": 1025},
        "public": {"address": "198.51.100.1", "port": 61000},
        "remote": {"address": "203.0.113.7", "port": 21},
        "expires_in": 892.13,
        "shift_out": {"init_seq": 0x1A2B3C4D, "delta": 3, "previous_delta": 0},
        **changes,
    }


def test_the_listing_of_ipfwadm_is_exact():
    assert list(classic.ipfwadm([flow()], 7440.0)) == [
        "IP masquerading entries",
        "prot expire   source               destination          ports",
        "tcp  14:52.13 192.168.1.2          203.0.113.7          1025 (61000) -> 21",
    ]


def test_its_extended_listing_has_the_shifts_before_the_source():
    shift = {"init_seq": 4294967295, "delta": -12, "previous_delta": 3}
    assert list(classic.ipfwadm([flow(shift_out=shift)], 7440.0, verbose=True)) == [
        "IP masquerading entries",
        "prot expire      initseq delta prevd source               destination          ports",
        "tcp  14:52.13 4294967295   -12     3 192.168.1.2          203.0.113.7          1025 (61000) -> 21",
    ]


def test_without_flows_there_is_only_the_title():
    assert list(classic.ipfwadm([], 7440.0)) == ["IP masquerading entries"]


def test_more_than_an_hour_is_shown_in_minutes_and_a_linked_flow_with_its_whole_time():
    lines = list(classic.ipfwadm([flow(expires_in=7439.999), flow(expires_in=None)], 7440.0))
    assert [line[5:14] for line in lines[2:]] == ["124:00.00", "124:00.00"]


def test_the_file_in_proc_is_exact():
    title, row = classic.ip_masquerade([flow(expires_in=892.13)], (4096, 4095, 4096), 7440.0)
    assert title == (
        "Prc FromIP   FPrt ToIP     TPrt Masq Init-seq  Delta PDelta Expires (free=4096,4095,4096)".ljust(
            127
        )
    )
    assert row == ("TCP C0A80102:0401 CB007107:0015 EE48 1A2B3C4D      3      0   89213".ljust(127))


def test_a_running_gateway_prints_them(gateway: Running, ipmasq: Ipmasq):
    conversation(gateway, [b"ask me\r\n"])
    public = gateway.engine.flow(1).public.port  # type: ignore[union-attr]
    title, header, row = ipmasq("show", "flows", "--format", "ipfwadm").stdout.splitlines()
    assert (title, header[:13]) == ("IP masquerading entries", "prot expire  ")
    assert row.startswith("tcp  12")
    assert row.endswith(f"10.0.0.2             198.51.100.1         4000 ({public}) -> 79")
    verbose = ipmasq("show", "flows", "--format", "ipfwadm", "--verbose").stdout
    assert "        101     3     0 10.0.0.2" in verbose
    proc = ipmasq("show", "flows", "--format", "ip_masquerade").stdout.splitlines()
    assert "(free=64512,64511,64512)" in proc[0]
    assert proc[1].startswith(
        f"TCP 0A000002:0FA0 C6336401:004F {public:04X} 00000065      3      0"
    )
