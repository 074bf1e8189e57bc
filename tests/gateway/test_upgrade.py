"""The predecessor leaves nothing before its successor is ready, and goes on unless that runs."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipmasq.gateway import upgrade as module
from ipmasq.gateway.host import tell_main_process
from ipmasq.gateway.upgrade import PASSED_ON
from ipmasq.planes.plane import PlaneError
from tests.gateway.successors import DIES, FACTS, OPENED, READY, RUNNING, TAKES_OVER, Upgrading

Make = Callable[..., Upgrading]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Upgrading] = []

    def one(code: str, **options: list[str]) -> Upgrading:
        made.append(Upgrading(code, **options))
        return made[-1]

    yield one
    for each in reversed(made):
        each.close()


def test_everything_is_left_to_a_successor_that_runs(make: Make):
    made = make(TAKES_OVER)
    made.run()
    assert made.upgrade.has_left
    assert made.lent.done == ["ready", "ready", "shared", "written"]
    assert made.lent.unready < 0, "the state was compact before"
    assert made.told == ["left", "succeeded"]
    assert made.upgrade.leave() == 0
    assert 0 < made.upgrade.waited < 60


@pytest.mark.parametrize("done", ["", READY, OPENED, RUNNING])
@pytest.mark.parametrize(
    ("end", "said"),
    [
        (DIES, "it has ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "it has ended by signal 9"),
        ("say('failed', 'the disk is full'); hear()", "the disk is full"),
        ("say('go'); hear()", "it has said 'go' out of turn"),
    ],
)
def test_one_that_fails_at_any_time_is_ended_and_this_process_goes_on(
    make: Make, done: str, end: str, said: str
):
    made = make(done + end)
    made.run()
    assert said in made.upgrade.trouble
    assert "and this one goes on" in made.upgrade.trouble
    assert not made.upgrade.has_left
    shared = ["ready", "shared"] if done else []
    written = ["written"] if done not in ("", READY) else []
    assert made.lent.done == ["ready", *shared, *written, *(["taken back"] if done else [])]
    assert made.told == [*(["left"] if written else []), "taken back"]
    assert made.reloads.barred == ""


@pytest.mark.parametrize(
    ("done", "name"),
    [("", "PATIENCE"), (READY, "PATIENCE"), (OPENED, "TAKING"), (RUNNING, "TAKING")],
)
def test_one_that_says_nothing_is_not_waited_for(
    make: Make, monkeypatch: pytest.MonkeyPatch, done: str, name: str
):
    monkeypatch.setattr(module, name, 1.5)
    made = make(done + "time.sleep(60)")
    made.run()
    assert "it has said nothing for 1.5 s" in made.upgrade.trouble
    assert made.told[-1] == "taken back"


def test_one_whose_settings_of_the_state_differ_is_told_apart_by_their_names(make: Make):
    other = {**FACTS, "[state] grace": "7.0"}
    made = make(f"say('ready', {other!r}); hear()")
    made.run()
    assert "differs in what both must agree on: [state] grace" in made.upgrade.trouble
    assert made.lent.done == ["ready"]


def test_what_a_successor_may_have_left_is_known_once_it_may(make: Make):
    told = {**FACTS, "sockets": ["/run/new.sock.new", "/run/new.sock"]}
    said = f"say('ready', {told!r})\nassert hear().word == 'open'\n"
    made = make(said + DIES)
    made.run()
    assert made.upgrade.sockets == (Path("/run/new.sock.new"), Path("/run/new.sock"))
    differs = {**told, "[state] grace": "7.0"}
    other = make(f"say('ready', {differs!r}); hear()")
    other.run()
    assert other.upgrade.sockets == (), "it was not allowed to make any"


def test_one_that_knows_more_settings_is_not_refused_for_that(make: Make):
    more = {**FACTS, "[state] colour": "green"}
    made = make(TAKES_OVER.replace(repr(FACTS), repr(more)))
    made.run()
    assert made.upgrade.has_left


def test_nothing_is_handed_over_if_the_state_was_not_written(make: Make):
    made = make(OPENED + "say('running')")
    made.lent.reason = "the disk is full"
    made.run()
    assert "the disk is full" in made.upgrade.trouble
    assert made.lent.done == ["ready", "ready", "shared", "written", "taken back"]


def test_nothing_is_lent_if_the_store_has_failed_meanwhile(make: Make):
    made = make(TAKES_OVER)
    made.upgrade.begin()
    made.lent.hindrance = "the state cannot be written"
    made.go_on()
    assert "the state cannot be written" in made.upgrade.trouble
    assert made.lent.done == ["ready"]


def test_what_cannot_be_taken_back_ends_this_process_without_undoing_it(make: Make):
    made = make(OPENED + DIES)
    made.lent.is_stuck = True
    with pytest.raises(PlaneError, match="cannot be taken back: no more"):
        made.run()
    assert made.upgrade.is_lost


def test_a_second_one_and_a_reload_are_refused_meanwhile(make: Make):
    made = make("time.sleep(60)")
    made.upgrade.begin()
    assert made.upgrade.hindrance == "another upgrade is under way"
    assert "an upgrade is under way" in made.reloads.barred
    process = made.upgrade.successor
    made.upgrade.end()
    assert not Path(f"/proc/{process}").exists()


def test_process_1_of_a_container_is_not_replaced(make: Make, monkeypatch: pytest.MonkeyPatch):
    made = make("")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert "process 1 of a container" in made.upgrade.hindrance


def test_a_program_that_does_not_exist_is_an_error_and_nothing_has_begun(make: Make):
    made = make("", command=["/nowhere/ipmasq"])
    with pytest.raises(OSError, match="nowhere"):
        made.upgrade.begin()
    assert not made.upgrade.is_under_way
    assert made.reloads.barred == ""


@pytest.mark.parametrize("number", PASSED_ON)
def test_a_signal_to_the_predecessor_while_both_wait_is_the_successors(
    make: Make, number: signal.Signals
):
    code = RUNNING + (
        "import os, signal\n"
        f"signal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}])\n"
        f"os.kill(os.getppid(), {int(number)})\n"
        f"say('taken'); signal.sigwait([{int(number)}]); raise SystemExit(7)\n"
    )
    made = make(code)
    made.loop.on_signal(number, lambda: made.told.append("not passed on"))
    made.run()
    process = made.upgrade._process
    assert process is not None
    assert process.wait(60) == 7
    assert "not passed on" not in made.told
    assert made.upgrade.leave() == 1, "it has ended already: a service manager starts another one"


def test_a_hangup_meanwhile_is_kept_until_this_process_goes_on(make: Make):
    made = make(DIES)
    reloads: list[int] = []
    made.loop.on_signal(signal.SIGHUP, lambda: (reloads.append(1), made.loop.stop()))
    made.upgrade.begin()
    made.reloads.is_due = True
    made.loop.later(60, made.loop.stop)
    made.loop.run()
    assert reloads == [1]
    assert not made.reloads.is_due


def test_who_is_ended_meanwhile_takes_back_what_it_has_shared(make: Make):
    made = make(READY + "time.sleep(60)")
    made.upgrade.begin()
    made.go_on(lambda: "shared" in made.lent.done)
    process = made.upgrade.successor
    made.upgrade.end()
    assert not Path(f"/proc/{process}").exists()
    assert made.lent.done == ["ready", "ready", "shared", "taken back"]


def test_systemd_is_told_of_the_main_process_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        waiting = threading.Thread(target=tell_main_process, args=(77, 60.0))
        waiting.start()
        assert systemd.recv(100) == b"MAINPID=77"
        said, descriptors, _, _ = socket.recv_fds(systemd, 100, 1)
        assert said == b"BARRIER=1"
        assert waiting.is_alive()
        os.close(descriptors[0])
        waiting.join(20)
        assert not waiting.is_alive()
