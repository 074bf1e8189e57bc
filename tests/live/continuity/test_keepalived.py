"""The shipped configuration of keepalived moves the addresses and the role."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.live.continuity.fleet import SHARES, fleet
from tests.live.continuity.pair import (
    GATEWAY,
    IPMASQ,
    KEEPALIVED,
    NAMES,
    PUBLIC,
    REMOTE,
    Pair,
    eventually,
)
from tests.live.continuity.traffic import (
    RATE,
    Datagrams,
    Everything,
    Session,
    ftp_server,
)
from tests.live.resets import no_resets
from tests.namespaces import within

pytestmark = pytest.mark.live

Replaced = Sequence[tuple[str, str]]


@pytest.fixture
def scripts() -> Iterator[Path]:
    """A directory in which nobody but root can write: keepalived runs no other scripts."""
    directory = Path(tempfile.mkdtemp(prefix="ipmasq-ha", dir="/run"))
    yield directory
    shutil.rmtree(directory)


TWO = (
    ("10.0.0.1/24", f"{GATEWAY}/24"),
    ("203.0.113.50/24", f"{PUBLIC}/24"),
)
THREE = (
    *((f"10.0.0.{at}/24", f"{each[0]}/24") for at, each in enumerate(SHARES.values(), 1)),
    *((f"203.0.113.{at}/24", f"{each[1]}/24") for at, each in enumerate(SHARES.values(), 51)),
    ("preempt_delay 60", "preempt_delay 1"),
)
"""What the shipped configurations say, and what is here. The second has placeholders, so that nothing is replaced
twice."""


def start_keepalived(
    pair: Pair, name: str, scripts: Path, file: str = "keepalived.conf", more: Replaced = TWO
) -> None:
    own = scripts / name
    own.mkdir(exist_ok=True)
    notify, check = own / "notify", own / "check"
    environment = f"IPMASQ_SOCKET={pair.directory}/{name}.sock IPMASQ_HA_STATE={own}/state"
    path = f'PATH="{Path(IPMASQ).parent}:$PATH"'
    shipped = KEEPALIVED / "ipmasq-notify"
    notify.write_text(f'#!/bin/sh\n{environment} {path} exec {shipped} "$@"\n')
    check.write_text(f"#!/bin/sh\n{environment} exec {IPMASQ} ha status\n")
    for each in (notify, check):
        each.chmod(0o755)
    text = (KEEPALIVED / file).read_text()
    for said, here in (
        ("eth1", "gi"),
        ("eth0", "go"),
        *((said, f"<{at}>") for at, (said, _) in enumerate(more)),
        *((f"<{at}>", here) for at, (_, here) in enumerate(more)),
        ("/etc/keepalived/ipmasq-notify", str(notify)),
        ('"/usr/bin/ipmasq ha status"', f'"{check}"'),
    ):
        assert said in text
        text = text.replace(said, here)
    (own / "keepalived.conf").write_text(text)
    pids = ("-p", str(own / "pid"), "-r", str(own / "vrrp"), "-c", str(own / "checkers"))
    command = (
        "keepalived",
        "-n",
        "-l",
        "-D",
        "-i",
        name,
        "-f",
        str(own / "keepalived.conf"),
        *pids,
    )
    pair.start(name, f"keepalived-{name}", *command)


def has_address(pair: Pair, name: str) -> bool:
    shown = subprocess.run(
        within(pair.name(name), "ip", "-o", "addr"), capture_output=True, text=True, check=True
    )
    return PUBLIC in shown.stdout


def is_active(pair: Pair, name: str) -> bool:
    return pair.status(name).get("role") == "active"


@pytest.mark.row("HA-15")
def test_the_shipped_configuration_of_a_fleet_shares_the_work_and_moves_it(
    tmp_path: Path, scripts: Path
) -> None:
    with fleet(tmp_path) as three, ftp_server(three, "out") as out:
        three.start_store()
        for name in three.names:
            three.start_gateway(name, "ebpf-tc")
            start_keepalived(three, name, scripts, "fleet.conf", THREE)
        homes = list(zip(three.names, SHARES, strict=True))
        eventually(lambda: all(three.serves(*home) for home in homes), 60)
        datagrams = Datagrams(three)
        session = Session(three, "in", REMOTE, 21, False)
        eventually(lambda: session.came > RATE and three.has_all("gw3", "two"))
        with no_resets(three):
            datagrams.pause = 0.0
            three.cut("gw2")
            for name in ("keepalived-gw2", "gw2"):
                three.kill(name)
            session.check(out)
            datagrams.check()
        print(f"longest pause of a UDP flow: {datagrams.pause:.2f} s")
        assert three.serves("gw3", "two"), "it has the second highest priority"


@pytest.fixture
def moved(bare: Pair, scripts: Path) -> Pair:
    """Two gateways whose roles keepalived sets; the first one is active."""
    bare.start_store()
    for name in NAMES:
        bare.start_gateway(name, "ebpf-tc")
        start_keepalived(bare, name, scripts)
        if name == "gw1":
            eventually(lambda: has_address(bare, "gw1") and is_active(bare, "gw1"))
    eventually(lambda: bare.follows("gw2"))
    return bare


@pytest.mark.row("HA-7")
def test_everything_goes_on_when_the_machine_of_the_active_gateway_dies(moved: Pair) -> None:
    with ftp_server(moved, "out") as out, ftp_server(moved, "in") as inside:
        traffic = Everything(moved, out, inside)
        time.sleep(2)  # a plain flow is replicated when it is one second old (`ha.after`)
        traffic.run_for(RATE // 2)
        with no_resets(moved):
            traffic.datagrams.pause = 0.0
            moved.cut("gw1")
            for name in ("keepalived-gw1", "gw1"):
                moved.kill(name)
            traffic.run_for(RATE // 2)
        traffic.check()
        print(f"longest pause of a UDP flow: {traffic.datagrams.pause:.2f} s")
    assert is_active(moved, "gw2")


def test_the_gateway_that_comes_back_is_a_standby_and_follows(moved: Pair, scripts: Path) -> None:
    for name in ("keepalived-gw1", "gw1"):
        moved.kill(name)
    moved.ip("gw1", f"addr flush dev gi to {GATEWAY}")
    moved.ip("gw1", f"addr flush dev go to {PUBLIC}")
    eventually(lambda: is_active(moved, "gw2"))
    moved.start_gateway("gw1", "ebpf-tc")
    start_keepalived(moved, "gw1", scripts)
    eventually(lambda: moved.follows("gw1"))
    time.sleep(1)
    assert moved.status("gw1")["role"] == "standby"
    assert is_active(moved, "gw2")


def test_a_gateway_whose_process_is_restarted_resumes_its_role(moved: Pair, scripts: Path) -> None:
    """keepalived says nothing about it, since no address has moved.

    On a busy machine the start may take longer than its check allows; the addresses would move then, as they should.
    """
    (scripts / "gw1" / "check").write_text("#!/bin/sh\n")
    moved.kill("gw1")
    moved.start_gateway("gw1", "ebpf-tc")
    eventually(lambda: is_active(moved, "gw1"))
    assert moved.status("gw2")["role"] == "standby"


def test_a_gateway_that_does_not_answer_loses_the_addresses(moved: Pair) -> None:
    moved.kill("gw1")
    eventually(lambda: has_address(moved, "gw2") and is_active(moved, "gw2"))
    assert not has_address(moved, "gw1")
