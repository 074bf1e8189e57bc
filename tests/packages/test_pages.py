"""The pages of the Debian package: a second service, whose process can look at the gateway and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.live.conftest import PUBLIC, REMOTE, Network
from tests.packages.clean import Machine
from tests.packages.conftest import VIEWS, Get
from tests.packages.test_service import eventually

TOKEN = "a-token-of-the-tests-0123456789"

ELSEWHERE = f"""\
[Service]
ExecStart=
ExecStart=/usr/bin/ipmasq web --listen {PUBLIC}:8470 --token-file /etc/ipmasq/web.token
IPAddressAllow={REMOTE}
"""
"""The drop-in of docs/web.md."""


@pytest.fixture(scope="module")
def pages(machine: Machine, network: Network) -> Machine:
    """The machine with both services. That of the pages is there first, and has to wait for the gateway's socket."""
    machine.write("/etc/ipmasq/gateway.toml", VIEWS)
    machine.run("systemctl", "start", "ipmasq-web")
    machine.run("systemctl", "start", "ipmasq")
    return machine


def forwards(get: Get) -> bool:
    """Whether the pages say that a gateway runs."""
    return '"public":["203.0.113.1"]' in get("/api/view/status")


def test_the_pages_show_the_gateway_also_after_its_restart(pages: Machine, get: Get):
    eventually(lambda: forwards(get), "the pages do not show the gateway")
    assert "<title>" in get("/")
    pages.run("systemctl", "restart", "ipmasq")
    eventually(lambda: forwards(get), "the pages do not show the gateway that was restarted")


def pid_of(pages: Machine) -> str:
    return pages.run("systemctl", "show", "ipmasq-web", "--value", "--property=MainPID").strip()


def test_the_process_of_the_pages_has_a_user_of_its_own_and_no_capability(pages: Machine):
    status = pages.file(f"/proc/{pid_of(pages)}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    user = pages.run("id", "-u", "ipmasq-web").strip()
    assert user not in ("0", pages.run("id", "-u", "ipmasq").strip())
    assert facts["Uid"].split() == [user] * 4
    assert {int(facts[name], 16) for name in ("CapEff", "CapBnd", "CapAmb")} == {0}
    assert facts["NoNewPrivs"] == "1"


def test_the_process_of_the_pages_can_write_nothing(pages: Machine):
    paths = ("/", "/etc/ipmasq", "/usr", "/var", "/var/log/ipmasq", "/run/ipmasq", "/proc/sys/net")
    inside = ["nsenter", f"--target={pid_of(pages)}", "--mount", *as_user("ipmasq-web")]
    assert [each for each in paths if pages.ask(*inside, "test", "-w", each).returncode == 0] == []


def as_user(name: str) -> list[str]:
    return ["setpriv", "--reuid", name, "--regid", name, "--clear-groups"]


def test_the_user_of_the_pages_can_see_the_gateway_and_change_nothing(pages: Machine):
    sockets = pages.run("sh", "-c", "echo /run/ipmasq/*.sock").split()
    (view,) = (each for each in sockets if "view" in each)
    (control,) = (each for each in sockets if "control" in each)

    def ask(socket: str, *command: str) -> subprocess.CompletedProcess[str]:
        return pages.ask(*as_user("ipmasq-web"), "ipmasq", *command, "--socket", socket)

    seen = ask(view, "status", "--json")
    assert json.loads(seen.stdout), seen.stderr
    for change in (("forward", "add", "tcp", "80", "10.0.0.2"), ("close", "1"), ("reload",)):
        done = ask(view, *change)
        assert done.returncode == 1
        assert "nothing can be changed" in done.stderr
        assert ask(control, *change).returncode == 4
    assert ask(control, "status").returncode == 4
    assert pages.run("ipmasq", "show", "forwards", "--json").strip() == "[]"


@pytest.fixture
def elsewhere(pages: Machine) -> Iterator[Machine]:
    """The pages for an outside host, by a drop-in; afterwards they are local again."""
    drop_in = pages.file("/etc/systemd/system/ipmasq-web.service.d/override.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(ELSEWHERE)
    pages.write("/etc/ipmasq/web.token", TOKEN + "\n")
    own = "chgrp ipmasq-web /etc/ipmasq/web.token && chmod 0640 /etc/ipmasq/web.token"
    pages.run("sh", "-c", own)
    restart = ("sh", "-c", "systemctl daemon-reload && systemctl restart ipmasq-web")
    pages.run(*restart)
    yield pages
    drop_in.unlink()
    pages.file("/etc/ipmasq/web.token").unlink()
    pages.run(*restart)


def test_a_drop_in_lets_other_hosts_see_the_pages_with_a_token(elsewhere: Machine, get: Get):
    allowed = "--header", f"Authorization: Bearer {TOKEN}"
    seen = "/api/view/status", "out", PUBLIC
    said = ("journalctl", "-u", "ipmasq-web", "--no-pager", "-n", "20")
    eventually(lambda: '"version"' in get(*seen, *allowed), elsewhere.run(*said))
    assert "a token is needed" in get(*seen)


def test_packets_come_before_the_pages_and_their_replays(pages: Machine):
    """A replay inherits this priority, since the unit forbids its process to set one (proc(5): stat, field 19)."""
    stat = pages.file(f"/proc/{pid_of(pages)}/stat").read_text()
    assert stat.rpartition(")")[2].split()[16] == "10"
