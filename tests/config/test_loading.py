from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.config import Loaded, Report, check, load
from ipmasq.config.loading import _checked
from ipmasq.config.model import Config
from tests.config.marked import GATEWAY, assert_found_as_marked
from tests.config.test_locations import VALUES


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


def test_a_bad_element_hides_no_other_and_moves_no_line(tmp_path: Path):
    assert_found_as_marked(
        tmp_path,
        GATEWAY
        + """\
[[forward]]
port = "what"  #! is not a port
to = "10.0.0.2"
[[forward]]
port = 21
to = "10.0.0.2"
[[forward]]
port = 21  #! forward 3, port: overlaps port 21 of forward tcp-21
to = "10.0.0.3"
""",
    )


def test_a_wrong_inside_network_is_not_called_missing_as_well(tmp_path: Path):
    text = '[gateway]\ninside = "10.0.0.0/33"  #! is not an IPv4\noutside = ""  #! not the name'
    forward = '\n[[forward]]\nport = 21\nto = "10.0.0.2"\n'
    assert_found_as_marked(tmp_path, text + forward)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[gateway]\nports = 1\n\nports = 2\n", 4, "this is given twice"),
        ("[a]\n[gateway]\n\n[gateway]\n", 4, "the table [gateway] is given twice"),
        ("[helper.ftp]\n[helper.ftp]\n", 2, "the table [helper.ftp] is given twice"),
        ("\noutside = eth0\n", 2, "text must stand in quotes"),
        ("inside = [10.0.0.0/24]\n", 1, "not valid TOML"),
        ("a = 10.0.0.0\n", 1, "the value should end here"),
        ("a = 1\n[gateway\n", 2, "Expected ']' at the end of a table declaration"),
        ("a = 1\nb = [1,\n2\n", 3, "not valid TOML"),
        ("a = 1\nb\n", 2, "Expected '=' after a key"),
        ("a = " + "[" * 5000, 1, "nested too deeply"),
    ],
)
def test_a_syntax_error_is_reported_with_its_line(
    tmp_path: Path, text: str, line: int, message: str
):
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    (problem,) = check(file).errors
    if "nested" not in message:
        assert problem.line == line
    assert message in problem.message
    assert "\n" not in str(problem)


def test_bytes_that_are_not_text_are_reported_with_their_line(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_bytes(b"# one\n# two\n\xff\n")
    assert str(check(file).errors[0]) == f"{file}:3: is not UTF-8 text"


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path):
    missing = tmp_path / "missing.toml"
    assert str(check(missing).errors[0]) == f"{missing}: cannot be read: No such file or directory"
    assert "cannot be read: Is a directory" in str(check(tmp_path).errors[0])


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GATEWAY.encode())
    assert check(file) == Report()


def test_the_report_as_text_names_file_line_and_kind_and_counts(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(GATEWAY + "ports = 0\n[timeouts]\nudp = 1\n")
    assert check(file).text().splitlines() == [
        f"{file}:4: error: gateway.ports: there is no port 0: ports go from 1 to 65535",
        f"{file}:6: warning: timeouts.udp: 1s is below the 2m of RFC 4787 REQ-5 (row 4787-5)",
        "1 error, 1 warning",
    ]


@pytest.mark.row("5382-6", "4787-10")
def test_ftp_is_on_by_default_on_port_21_and_nothing_else_is(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(GATEWAY)
    helpers = load(file).helpers
    assert [(name, use.ports) for name, use in helpers.items()] == [("ftp", {21})]


@pytest.mark.row("4787-10a")
def test_each_helper_can_be_switched_off_by_itself(tmp_path: Path):
    (tmp_path / "finger.py").write_text(
        "from ipmasq.core.helper import Helper\nclass F(Helper):\n    name, ports = 'finger', (79,)\n"
    )
    file = tmp_path / "gateway.toml"
    finger = "[helper.finger]\nfile = 'finger.py'\n"
    for text, on in (
        (finger, {"ftp", "finger"}),
        (finger + "enabled = false\n", {"ftp"}),
        (finger + "[helper.ftp]\nenabled = false\n", {"finger"}),
    ):
        file.write_text(GATEWAY + text)
        loaded = load(file)
        assert (set(loaded.helpers), loaded.problems) == (on, ())


SECTIONS = [*Config.model_fields, "x"]
KEYS = ["inside", "outside", "ports", "udp", "action", "from", "port", "to", "file", "class", "x"]


def tables(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    table = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
    return table | st.lists(table | values, max_size=3) | st.dictionaries(st.just("ftp"), table)


SANE = st.sampled_from(["10.0.0.0/24", "eth0", 21, "5-9", "pass", "10.0.0.2:21", ["1-2", 3], True])


@given(st.dictionaries(st.sampled_from(SECTIONS), tables(SANE | VALUES) | VALUES, max_size=5))
def test_whatever_the_values_are_something_checked_remains(data: dict[str, Any]):
    config, mistakes = _checked(data)
    assert isinstance(config, Config)
    loaded = Loaded(Path("gateway.toml"), config, {}, ())
    assert all(str(loaded.problem(*each)).isprintable() for each in mistakes)
    again, more = _checked(data)  # what was wrong has been left out of it
    assert (again, more) == (config, [])


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


def test_what_is_wrong_together_is_said_beside_another_mistake_of_the_same_rule(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[gateway]\ninside = "eth1"\noutside = "eth0"\n'
        '[[rule]]\naction = "drop"\nfrom = "10.0.0.1/24"\nprotocol = "icmp"\nports = 80\n'
    )
    assert [(problem.line, problem.key) for problem in load(file).problems] == [
        (6, "rule 1, from"),
        (8, "rule 1, ports"),
    ]
