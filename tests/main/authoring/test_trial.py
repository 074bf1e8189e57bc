"""`ipmasq helper test`: a helper on a playbook and on a capture, and how the trial ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scapy.all import TCP, Ether

from ipmasq.config.helpers import find
from ipmasq.main.authoring.project import write
from ipmasq.wire.addresses import to_address
from tests.front.conftest import Ipmasq, ipmasq
from tests.replay.cases import CASES
from tests.replay.tape import CLIENT, POLICY, SERVER, Talk, Tape

__all__ = ["ipmasq"]

TOP = Path(__file__).parents[3]

BROKEN = {
    "on_line": "    def on_line(self, line, context):\n        return {}[line]\n",
    "may_rewrite": "    def may_rewrite(self, speaker, partial):\n        return {}[partial]\n",
}


@pytest.fixture
def courier(tmp_path: Path) -> Path:
    write("courier", tmp_path / "courier")
    return tmp_path / "courier"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A conversation that the helper of a new project reads."""
    tape = Tape()
    control = Talk(tape, (CLIENT, 40000), (SERVER, 7000))
    control.client(b"HEL")
    control.client(b"LO\r\n")
    control.client(b"RECEIVE 10.0.0.2 5000\r\n")
    control.client(b"RECEIVE 10.0.0.3 5000\r\n")
    Talk(tape, (SERVER, 50000), (CLIENT, 5000)).client(b"a file")
    path = tmp_path / "in.pcapng"
    path.write_bytes(tape.buffer.getvalue())
    return path


def helper(project: Path) -> Path:
    return project / "src" / "ipmasq_courier" / "helper.py"


def test_without_a_conversation_it_says_what_the_helper_declares(ipmasq: Ipmasq, courier: Path):
    done = ipmasq("helper", "test", helper(courier))
    assert done.stdout == "helper courier: TCP port 7000; either end masqueraded\n"
    assert ipmasq("helper", "test", "ftp").stdout.startswith("helper ftp: TCP port 21")


def test_a_playbook_that_is_followed_ends_with_code_0(ipmasq: Ipmasq, courier: Path):
    done = ipmasq("helper", "test", helper(courier), "--playbook", courier / "tests/courier.talk")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "   8  client says    RECEIVE 10.0.0.2 5000\n"
        "      server hears   RECEIVE 203.0.113.1 61000\n"
        "      - expects a connection to 203.0.113.1:61000, for 10.0.0.2:5000\n"
    ) in done.stdout
    assert done.stdout.endswith("10 lines, 2 rewritten, 3 expected, 2 refused\n")


def test_what_is_not_as_the_playbook_says_is_shown_with_its_line(
    ipmasq: Ipmasq, courier: Path, tmp_path: Path
):
    playbook = tmp_path / "wrong.talk"
    playbook.write_text("client: HELLO\n  becomes: GOODBYE\n")
    done = ipmasq("helper", "test", helper(courier), "--playbook", playbook)
    assert done.returncode == 1
    assert 'WRONG: the line "HELLO\\r\\n" is unchanged' in done.stdout
    assert done.stderr == f"ipmasq: {playbook}, line 1 is not as the playbook says\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("client HELLO", "line 1: write"),
        ("", "nobody says anything"),
        ("client: a\\r\\nb", "2 messages"),
    ],
)
def test_a_playbook_with_a_mistake_is_one_sentence(
    ipmasq: Ipmasq, courier: Path, tmp_path: Path, text: str, said: str
):
    playbook = tmp_path / "wrong.talk"
    playbook.write_text(text)
    done = ipmasq("helper", "test", helper(courier), "--playbook", playbook)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert "helper.py" not in done.stderr


@pytest.mark.parametrize("method", BROKEN)
@pytest.mark.parametrize("by", ["playbook", "capture"])
def test_an_exception_of_the_helper_is_shown_with_the_line_in_its_file_alone(
    ipmasq: Ipmasq, courier: Path, capture: Path, method: str, by: str
):
    file = helper(courier)
    file.write_text(file.read_text() + "\n" + BROKEN[method])
    last = len(file.read_text().splitlines())
    conversation = courier / "tests/courier.talk" if by == "playbook" else capture
    done = ipmasq("helper", "test", file, f"--{by}", conversation)
    assert done.returncode == 1
    assert done.stderr.startswith(f"ipmasq: {file}, line {last}: KeyError: b'")
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_capture_shows_what_the_helper_did(ipmasq: Ipmasq, courier: Path, capture: Path):
    done = ipmasq("helper", "test", helper(courier), "--capture", capture)
    assert (done.returncode, done.stderr) == (0, "")
    assert "from inside: RECEIVE 10.0.0.2 5000\n" in done.stdout
    assert "to outside: RECEIVE 203.0.113.1 " in done.stdout
    assert "- helper courier did not act on it: " in done.stdout
    assert f"opened: TCP 10.0.0.2:5000 <- {SERVER}:50000" in done.stdout
    assert done.stdout.endswith("3 lines, 1 rewritten, 1 expected, 1 refused\n")


def test_the_example_for_rexec_lets_the_connection_for_errors_in_and_leaves_the_rest_alone(
    ipmasq: Ipmasq, tmp_path: Path
):
    tape = Tape()
    control = Talk(tape, (CLIENT, 40000), (SERVER, 512))
    control.client(b"5000\0me\x006000\0ls\0")
    Talk(tape, (SERVER, 50000), (CLIENT, 5000)).client(b"an error\n")
    control.server(b"\0")
    path, file = tmp_path / "in.pcapng", TOP / "examples/ipmasq-rexec/src/ipmasq_rexec/helper.py"
    path.write_bytes(tape.buffer.getvalue())
    done = ipmasq("helper", "test", file, "--capture", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"opened: TCP {CLIENT}:5000 <- {SERVER}:50000" in done.stdout
    assert done.stdout.endswith("1 lines, 1 rewritten, 1 expected, 0 refused\n")
    _, records, _ = tape.replay(replace(POLICY, helpers=(find(str(file)),)))
    sent = b"".join(
        bytes(Ether(each.data)[TCP].payload)
        for each in records
        if each.data[30:34] == to_address(SERVER)
    )
    assert sent.endswith(b"\0me\x006000\0ls\0")
    assert not sent.startswith(b"5000")


def test_a_capture_with_a_published_server_needs_the_configuration(ipmasq: Ipmasq, tmp_path: Path):
    path, config = tmp_path / "in.pcapng", tmp_path / "gateway.toml"
    path.write_bytes(CASES["server masqueraded, server announces"][0].buffer.getvalue())
    alone = ipmasq("helper", "test", "ftp", "--capture", path)
    assert alone.returncode == 1
    assert "no line was given to helper ftp: no connection to port 21 was opened" in alone.stderr
    config.write_text(
        '[gateway]\ninside = "10.0.0.0/24"\noutside = "none0"\n'
        '[[forward]]\nname = "ftp"\nprotocol = "tcp"\nport = 2121\nto = "10.0.0.5:21"\n'
    )
    done = ipmasq("helper", "test", "ftp", "--capture", path, "-c", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 rewritten, 1 expected" in done.stdout


def test_a_configuration_of_interfaces_that_are_not_here_is_said_to_be_the_reason(
    ipmasq: Ipmasq, tmp_path: Path, capture: Path
):
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\ninside = ["lan0"]\noutside = "none0"\n')
    done = ipmasq("helper", "test", "ftp", "--capture", capture, "-c", config)
    assert done.returncode == 3
    assert "the networks of lan0 are not known" in done.stderr
    assert 'name networks instead, inside = ["192' in done.stderr
    config.write_text('[gateway]\ninside = ["lan0", "10.0.0.0/24"]\noutside = "none0"\n')
    done = ipmasq("helper", "test", "ftp", "--capture", capture, "-c", config)
    assert done.returncode == 1
    assert "their packets are not translated" in done.stderr


def test_what_cannot_be_tried_is_one_sentence(ipmasq: Ipmasq, courier: Path, tmp_path: Path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"\xff\xfe")
    for arguments, code in (
        (("none.py",), 1),
        (("none",), 1),
        ((helper(courier), "--playbook", junk), 1),
        ((helper(courier), "--capture", junk), 1),
        ((helper(courier), "--playbook", tmp_path / "none"), 1),
        ((helper(courier), "--playbook", junk, "--capture", junk), 2),
    ):
        done = ipmasq("helper", "test", *arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
