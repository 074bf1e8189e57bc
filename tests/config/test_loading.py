""""""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmasq.config import Report, check, load
from tests.config.marked import GATEWAY, assert_found_as_marked


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
        ("[gateway]\nports = 1\n\nports = 2\n", 4, "not valid TOML: ports is given twice"),
        ("[timeouts]\nudp_ports = { 53 = 5, 53 = 6 }\n", 2, "not valid TOML: 53 is given twice"),
        (f"a = 1\nb = {'9' * 5000}\n", 2, "has a number with too many digits"),
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
    assert (
        str(check(missing).errors[0])
        == f"{missing}: there is no such file; `ipmasq setup` writes one"
    )
    assert "cannot be read: Is a directory" in str(check(tmp_path).errors[0])


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GATEWAY.encode())
    assert check(file) == Report()


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
