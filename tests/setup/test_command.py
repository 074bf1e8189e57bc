"""Questions to which nobody answers."""

from __future__ import annotations

import io

import pytest
import typer

from ipmasq.setup.command import _ask_server


class Interrupted(io.StringIO):
    def readline(self, size: int | None = -1, /) -> str:
        raise KeyboardInterrupt


def test_an_input_that_has_ended_is_told_how_to_do_without_questions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(typer.Exit) as ended:
        _ask_server()
    assert ended.value.exit_code == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("ipmasq: setup asks questions, and there is nobody to answer them")
    assert "ipmasq setup --yes takes the proposed answers" in said


def test_an_interrupted_question_is_just_aborted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.stdin", Interrupted())
    with pytest.raises(typer.Abort):
        _ask_server()
    assert "nobody" not in capsys.readouterr().err
