"""What is printed fits the terminal, and is one line where programs read it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios

import pytest

from ipmasq.front import output

LONG = (
    "office: waiting, forwards nothing; the store does not answer in time (ipmasq ha status) " * 2
)


def on_a_terminal(columns: int, name: str, *texts: object) -> list[str]:
    """Print a fact on a terminal of so many columns, and return its lines."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    child = os.fork()
    if not child:
        os.environ.pop("COLUMNS", None)
        os.dup2(follower, 1)
        sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
        output.say_fact(name, *texts)
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
    text = os.read(leader, 1 << 14).decode()
    os.close(leader)
    os.close(follower)
    return text.split("\r\n")[:-1]


def test_a_long_fact_goes_on_below_itself_on_a_terminal() -> None:
    first, *others = on_a_terminal(80, "group", LONG)
    assert first.startswith("group              office: waiting,")
    assert len(others) >= 2
    assert all(line.startswith(" " * output.NAMES) for line in others)
    assert max(map(len, (first, *others))) <= 80
    assert " ".join((first + " " + " ".join(others)).split()[1:]) == LONG.strip()


def test_each_text_of_a_fact_has_a_line_and_an_empty_one_too() -> None:
    assert on_a_terminal(80, "public_ports", 1, "two", "") == [
        "public ports       1",
        "                   two",
        "                   ",
    ]


def test_elsewhere_each_text_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_fact("group", LONG.strip(), "a\nb")
    assert capsys.readouterr().out == f"{'group':<18} {LONG.strip()}\n{'':<18} a\\nb\n"
