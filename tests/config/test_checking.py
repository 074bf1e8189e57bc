"""`ipmasq check`: everything there is to say about a file."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.config import check
from tests.config.marked import GATEWAY, assert_found_as_marked


def test_all_mistakes_of_a_file_are_reported_together(tmp_path: Path):
    found = assert_found_as_marked(
        tmp_path,
        """\
        default_action = "drop"  #! did you mean it to be in [gateway]?
        [gateway]
        inside = [
            "10.0.0.0/24",
            "10.0.0.300",  #! gateway.inside 2: "10.0.0.300" is not an IPv4 address or network
            "10.0.1.1/24"  #! write "10.0.1.0/24"
        ]
        outside = "eth0"
        ports = "65095-61000"  #! reversed
        [timeouts]
        udp = "1m"  #? 1m is below the 2m of RFC 4787 REQ-5 (row 4787-5)
        icmp = "soon"  #! "soon" is not a duration
        [[rule]]  #! rule 1, action: is missing
        from = "x"  #! is not an IPv4 address or network
        [[rule]]
        action = "pass"
        protocol = "icmp"
        ports = 1  #! rule 2, ports: icmp has no ports
        [[rule]]
        action = "drop"
        to = "198.51.100.0/24"
        [[rule]]  #? rule 4: never decides: rule 3 (drop to 198.51.100.0/24) matches
        action = "masquerade"
        to = "198.51.100.7"
        [[forward]]
        port = 21
        to = "10.0.0.2"
        [[forward]]
        port = "20-22"
        to = "10.0.0.3:5-9"  #! 5-9 are 5 ports, but 20-22 are 3
        [[forward]]
        port = "20-22"  #! overlaps port 21 of forward tcp-21
        to = "10.0.0.3"
        [helper.ftp]
        expectation_life = "5s"  #? below the 30s of RFC 6384, 12
        on_failure = "panic"  #! "panic" is none of
        [helper.sip]  #! no helper "sip" is installed (there are: ftp
        [helper.mine]
        file = "mine.py"  #! mine.py cannot be read: No such file or directory
        """,
    )
    assert len(found) == 16


def test_the_report_as_text_names_file_line_and_kind_and_counts(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(GATEWAY + "ports = 0\n[timeouts]\nudp = 1\n")
    assert check(file).text().splitlines() == [
        f"{file}:4: error: gateway.ports: there is no port 0: ports go from 1 to 65535",
        f"{file}:6: warning: timeouts.udp: 1s is below the 2m of RFC 4787 REQ-5 (row 4787-5)",
        "1 error, 1 warning",
    ]


@given(st.binary(max_size=80) | st.text("[]{}=\"'.,#\n ab01\\").map(str.encode))
def test_whatever_the_bytes_are_there_is_a_report(content: bytes):
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    try:
        report = check(f"/dev/fd/{read}")
    finally:
        os.close(read)
    assert report.errors
    assert report.text()
