"""Exit codes and output of real processes: no traceback for anything that a user does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from ipmasq.control.protocol import SOCKET_VARIABLE
from ipmasq.core.events import ForwardAdded
from tests.control.running import Running, conversation

Start: TypeAlias = Callable[..., subprocess.Popen[str]]


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_without_a_gateway_a_question_ends_with_code_4(program: Start):
    started = [program(*command) for command in (["status"], ["show", "flows"], ["watch"])]
    for process in started:
        code, out, err = end(process)
        assert (code, out) == (4, "")
        assert err.startswith("ipmasq: no gateway runs here: there is no control socket ")
        assert len(err.splitlines()) == 1


def test_wrong_usage_ends_with_code_2(program: Start):
    for wrong in (["shwo"], ["show", "flows", "--what"], ["close", "x"], ["run", "--plane", "jet"]):
        code, _, err = end(program(*wrong))
        assert code == 2
        assert "Traceback" not in err


# The capability is for the interpreter and this source, which may lie where nobody may look (a clone in root's
# home); it opens no socket and changes no network.
NOBODY = [
    *("setpriv", "--reuid", "65534", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
    *(sys.executable, "-m", "ipmasq"),
]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_who_may_not_use_the_socket_is_told_so(gateway: Running, tmp_path: Path):
    path = tmp_path
    while path != Path("/tmp") and path != path.parent:
        path.chmod(0o755)
        path = path.parent
    done = subprocess.run(
        [*NOBODY, "status", "--socket", gateway.path], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 4
    assert "you may not use the control socket" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("mode", [0o755, 0o777], ids=["no-socket", "socket"])
def test_who_may_not_run_a_gateway_is_told_what_it_needs(mode: int):
    with tempfile.TemporaryDirectory() as readable:
        Path(readable).chmod(mode)
        config = Path(readable, "gateway.toml")
        config.write_text(
            '[gateway]\ninside = "10.0.0.0/24"\noutside = "lo"\n'
            f'[control]\nsocket = "{readable}/control.sock"\n'
        )
        done = subprocess.run(
            [*NOBODY, "run", "-c", config], capture_output=True, text=True, timeout=30
        )
    assert done.returncode == 1
    assert re.search(r"ipmasq: .*(needs root|run as root)", done.stderr)
    assert "Traceback" not in done.stderr


def test_watch_shows_a_rewrite_and_ends_with_the_gateway(gateway: Running, program: Start):
    process = program("watch", "--last", "100", "--event", "rewritten")
    conversation(gateway, [b"ask me\r\n"])
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(3)]
    assert "helper finger rewrote what the client said" in lines[0]
    assert lines[1].split() == ["-", "ask", "me\\r\\n"]
    assert lines[2].split() == ["+", "query\\x1b", "me\\r\\n"]  # no control character gets through
    gateway.do(gateway.control.close)
    assert end(process)[0] == 0


@pytest.mark.parametrize("names", [["forward_added,refused"], ["refused", "forward_added"]])
def test_watch_takes_names_of_events_as_a_list_or_one_by_one(
    gateway: Running, program: Start, names: list[str]
):
    conversation(gateway, [b"ask me\r\n", b"refuse me\r\n"])
    options = [word for name in names for word in ("--event", name)]
    process = program("watch", "--json", "--last", "10", *options)
    gateway.do(lambda: gateway.control.observe([ForwardAdded(0.0, "web")]))
    assert process.stdout
    told = [json.loads(process.stdout.readline())["event"] for _ in range(2)]
    assert told == ["refused", "forward_added"]
    gateway.do(gateway.control.close)
    assert end(process)[0] == 0


def test_watch_ends_after_the_past_events_if_asked(gateway: Running, program: Start):
    gateway.do(
        lambda: gateway.control.observe([ForwardAdded(0.0, "web"), ForwardAdded(0.0, "ftp")])
    )
    for options, names in ((), ["web", "ftp"]), (("--last", "1"), ["ftp"]):
        code, out, _ = end(program("watch", "--json", "--no-follow", *options))
        assert code == 0
        assert [json.loads(line)["name"] for line in out.splitlines()] == names


def test_watch_writes_json_lines_at_once_and_ends_at_ctrl_c(gateway: Running, program: Start):
    process = program("watch", "--json", "--last", "10")
    number = gateway.open_udp()
    assert process.stdout
    assert json.loads(process.stdout.readline())["flow"] == number
    process.send_signal(signal.SIGINT)
    code, _, err = end(process)
    assert (code, err.strip()) == (130, "")


def test_who_stops_reading_gets_no_traceback(gateway: Running, program: Start):
    gateway.open_many(3000)
    for command in (["show", "flows", "--json"], ["show", "flows", "--limit", "0"]):
        process = program(*command)
        assert process.stdout
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr
        err = process.stderr.read()
        assert (process.wait(30), err) == (141, "")
        process.stderr.close()


def test_help_starts_without_what_only_some_commands_need():
    heavy = "'ipmasq.gateway', 'ipmasq.config', 'ipmasq.core', 'pydantic', 'scapy'"
    code = (
        "import sys; from ipmasq.main.cli import app\n"
        f"print([name for name in ({heavy}) if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def completed(words: str, socket: Path) -> list[str]:
    """What bash is offered for the last of these words."""
    environment = {
        **os.environ,
        "_IPMASQ_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        SOCKET_VARIABLE: str(socket),
    }
    command = [str(Path(sys.executable).parent / "ipmasq")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_shells_can_complete(tmp_path: Path):
    assert completed("ipmasq sh", tmp_path / "none") == ["show"]


def test_values_are_completed_by_what_the_gateway_has(gateway: Running):
    flow = str(gateway.open_udp())
    for words, found in (
        ("ipmasq forward del ", ["web"]),
        ("ipmasq forward del we", ["web"]),
        ("ipmasq forward del x", []),
        ("ipmasq helper unload ", ["finger"]),
        ("ipmasq helper reload f", ["finger"]),
        ("ipmasq helper load f", ["ftp"]),
        ("ipmasq show flows --helper ", ["finger"]),
        ("ipmasq close ", [flow]),
        ("ipmasq timeouts set tcp_c", ["tcp_closing="]),
    ):
        assert completed(words, Path(gateway.path)) == found, words


def test_without_a_gateway_no_value_is_completed_and_nothing_said(tmp_path: Path):
    for words in ("ipmasq forward del ", "ipmasq close ", "ipmasq timeouts set "):
        assert completed(words, tmp_path / "none") == []


def test_a_command_imports_no_other_command():
    code = (
        "import sys; from ipmasq.main.cli import main\n"
        "sys.argv[1:] = ['status', '-h']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "others = ('ipmasq.front.change', 'ipmasq.front.show', 'ipmasq.front.watch', 'ipmasq.lab', 'rich')\n"
        "print([name for name in others if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
