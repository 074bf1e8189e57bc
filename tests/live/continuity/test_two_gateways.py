"""What runs through a gateway goes on when another one takes over."""

from __future__ import annotations

import ftplib
import json
import signal
import socket
import time

import pytest

from ipmasq.continuity.authentic import Entry, Seal
from ipmasq.continuity.batches import Part, pack
from ipmasq.core.changes import Kind, Record
from tests.live.continuity.pair import PUBLIC, REMOTE, Pair, eventually
from tests.live.continuity.traffic import (
    PATIENCE,
    RATE,
    Bulk,
    Datagrams,
    Everything,
    Told,
    ftp_server,
)
from tests.live.resets import no_resets

pytestmark = pytest.mark.live


def fail_over(pair: Pair) -> None:
    """The active gateway loses its power, and the other one gets the addresses."""
    pair.cut("gw1")
    pair.kill("gw1")
    pair.activate("gw2")


@pytest.mark.row("HA-7")
def test_all_that_runs_goes_on_after_the_active_gateway_has_died(two: Pair) -> None:
    with ftp_server(two, "out") as out, ftp_server(two, "in") as inside:
        traffic = Everything(two, out, inside)
        traffic.run_for(RATE)
        eventually(lambda: two.follows("gw2"))
        with no_resets(two):
            fail_over(two)
            traffic.run_for(RATE)
        traffic.check()
    assert two.status("gw2")["refused"] == {}
    assert " flows go on at this gateway" in two.log("gw2")


@pytest.mark.row("HA-7")
def test_all_that_runs_goes_on_after_the_role_was_handed_over_and_back(two: Pair) -> None:
    with ftp_server(two, "out") as out, ftp_server(two, "in") as inside:
        traffic = Everything(two, out, inside)
        traffic.run_for(RATE // 2)
        with no_resets(two):
            for old, new in (("gw1", "gw2"), ("gw2", "gw1")):
                eventually(lambda new=new: two.follows(new))  # type: ignore[misc]
                two.retire(old)
                two.activate(new)
                traffic.run_for(RATE // 2)
                for each in two.names:
                    eventually(lambda each=each, new=new: two.status(each)["holder"] == new)  # type: ignore[misc]
        traffic.check()


@pytest.mark.row("HA-12", "HA-3")
def test_a_data_connection_is_made_although_the_gateway_dies_a_millisecond_after_its_syn(
    two: Pair,
) -> None:
    with two.at("out"):
        server = socket.create_server((REMOTE, 21))
    with two.at("in"):
        client = socket.create_connection((REMOTE, 21), PATIENCE)
        listening = socket.create_server(("10.0.0.2", 5555))
    session, _ = server.accept()
    eventually(lambda: two.follows("gw2"))
    client.sendall(b"PORT 10,0,0,2,21,179\r\n")
    announced = session.recv(100)
    assert announced.startswith(b"PORT 203,0,113,50,")
    high, low = announced.split(b",")[-2:]
    two.cut("gw1", "gi")  # so that the SYN comes to the gateway, and the answer does not
    with two.at("out"):
        data = socket.socket()
        data.bind((REMOTE, 20))
        data.setblocking(False)
        assert data.connect_ex((PUBLIC, int(high) << 8 | int(low))) in (0, 115)
    time.sleep(0.001)
    fail_over(two)
    listening.settimeout(PATIENCE)
    accepted, _ = listening.accept()
    accepted.sendall(b"data")
    data.settimeout(PATIENCE)
    eventually(lambda: data.recv(10) == b"data")
    session.sendall(b"200 PORT command successful.\r\n")
    client.settimeout(PATIENCE)
    assert client.recv(100) == b"200 PORT command successful.\r\n"
    for each in (server, client, listening, session, data, accepted):
        each.close()


@pytest.mark.row("HA-12")
def test_a_connection_is_made_although_the_gateway_dies_a_millisecond_after_its_syn(
    two: Pair,
) -> None:
    with two.at("out"):
        server = socket.create_server((REMOTE, 5000))
    two.cut("gw1", "go")
    with two.at("in"):
        client = socket.socket()
        client.setblocking(False)
        assert client.connect_ex((REMOTE, 5000)) in (0, 115)
    time.sleep(0.001)
    fail_over(two)
    server.settimeout(PATIENCE)
    accepted, sender = server.accept()
    assert sender[0] == PUBLIC
    accepted.sendall(b"hello")
    client.settimeout(PATIENCE)
    assert client.recv(10) == b"hello"
    for each in (server, client, accepted):
        each.close()


@pytest.mark.row("HA-9", "A-40")
def test_records_that_are_forged_replayed_or_foreign_have_no_effect(two: Pair) -> None:
    key = (two.directory / "ha.key").read_bytes()
    evil = pack(Part.CHANGES, [Record(Kind.REST, 0, None), Record(Kind.FLOW, 1, None)])
    bulk = Bulk(two)
    eventually(lambda: bulk.came > RATE and two.follows("gw2"))
    stream = two.stream
    replayed = two.store(lambda client: client.xrange(stream)[1][1][b"e"])
    status = two.status("gw2")
    for number in range(1, 200):
        entry = Entry("gw1", status["generation"], number, evil)
        forged = Seal(b"the secret of an attacker", "pair", "records").write(entry)
        foreign = Seal(key, "elsewhere", "records").write(entry)
        for each in (forged, foreign, replayed):
            two.store(lambda client, each=each: client.xadd(stream, {"e": each}))
    eventually(lambda: sum(two.status("gw2")["refused"].values()) == 3 * 199)
    assert two.status("gw2")["refused"] == {"forged": 199, "foreign": 199, "replayed": 199}
    assert "in the store refused" in two.log("gw2")
    fail_over(two)
    bulk.check()


@pytest.mark.parametrize("two", ["tun"], indirect=True)
def test_what_an_operator_has_changed_is_in_force_after_a_takeover(two: Pair) -> None:
    for command in (
        ("forward", "add", "tcp", "8080", "10.0.0.2:80", "--name", "web"),
        ("forward", "del", "tcp-2121"),
        ("helper", "unload", "ftp"),
        ("timeouts", "set", "udp=77s"),
    ):
        done = two.ask("gw1", *command)
        assert done.returncode == 0, done.stderr
        assert "standby" not in done.stderr
    eventually(lambda: two.follows("gw2"))
    for command in (
        ("forward", "add", "tcp", "8081", "10.0.0.2:81"),
        ("helper", "load", "tftp"),
        ("helper", "unload", "tftp"),
        ("timeouts", "set", "udp=99s"),
    ):
        done = two.ask("gw2", *command)
        assert done.returncode == 0, done.stderr
        assert (
            "forgets this when it takes over: change it at the active gateway, gw1" in done.stderr
        )
    fail_over(two)
    assert [each["name"] for each in listed(two, "forwards")] == ["web"]
    assert "ftp" not in [each["name"] for each in listed(two, "helpers")]
    assert "1m17s" in two.ask("gw2", "timeouts", "show").stdout
    two.retire("gw2")
    assert [each["name"] for each in listed(two, "forwards")] == ["tcp-2121"]


def listed(pair: Pair, what: str) -> list[dict[str, object]]:
    """What the second gateway lists."""
    found = json.loads(pair.ask("gw2", "show", what, "--json").stdout)
    return found if isinstance(found, list) else [found]


# -- split brain


def through(pair: Pair, name: str) -> None:
    """Let the inside host use this gateway, whatever its role."""
    number = {"gw1": 11, "gw2": 12}[name]
    pair.ip("in", f"route replace default via 10.0.0.{number}")


def comes_until(datagrams: Datagrams) -> float:
    """Return when the last question came to the server, once none has come for a second."""
    eventually(lambda: time.time() - datagrams.last > 1)
    return datagrams.last


@pytest.mark.row("HA-13")
def test_a_gateway_that_is_cut_off_from_the_others_falls_silent_within_a_second(two: Pair) -> None:
    through(two, "gw1")
    datagrams = Datagrams(two)
    eventually(lambda: datagrams.answered > 100)
    two.cut("gw1", "gm")
    cut = time.time()
    assert comes_until(datagrams) - cut < 1.0
    assert two.status("gw1")["role"] == "fenced"
    time.sleep(8)  # reasons change while no neighbour answers
    said = [line for line in two.log("gw1").splitlines() if "cannot be used" in line]
    assert len(said) == 1
    assert "this member forwards nothing, since another one may be active" in said[0]
    two.activate("gw2")
    time.sleep(1)
    heard = datagrams.heard
    time.sleep(1)
    assert datagrams.heard == heard, "the former one forwards although there is another one"
    datagrams.end()


@pytest.mark.row("HA-13")
def test_a_gateway_that_hangs_falls_silent_within_a_second(two: Pair) -> None:
    """Its programs in the kernel, too."""
    through(two, "gw1")
    datagrams = Datagrams(two)
    eventually(lambda: datagrams.answered > 100)
    hung = time.time()
    two.processes["gw1"].send_signal(signal.SIGSTOP)
    assert comes_until(datagrams) - hung < 1.0
    two.activate("gw2")
    two.processes["gw1"].send_signal(signal.SIGCONT)
    eventually(lambda: two.status("gw1").get("role") == "waiting")
    heard = datagrams.heard
    time.sleep(1)
    assert datagrams.heard == heard
    datagrams.end()


@pytest.mark.row("HA-13")
def test_a_standby_forwards_nothing_and_answers_nothing(two: Pair) -> None:
    eventually(lambda: two.follows("gw2"))
    through(two, "gw2")
    datagrams = Datagrams(two)
    eventually(lambda: two.status("gw2")["silenced_packets"] > 0)
    time.sleep(1)
    assert datagrams.heard == 0
    through(two, "gw1")
    eventually(lambda: datagrams.answered > 10)
    datagrams.end()


# -- addresses


@pytest.mark.row("HA-10")
@pytest.mark.parametrize("two", ["tun"], indirect=True)
def test_connections_of_a_removed_address_end_and_those_of_others_go_on_elsewhere(
    two: Pair,
) -> None:
    second, file = "203.0.113.60", two.directory / "gw1.toml"
    published = '[[forward]]\nport = 7000\nto = "10.0.0.2"\n[control]'
    for name in ("gw1", "gw2"):
        path = two.directory / f"{name}.toml"
        text = path.read_text().replace(f'["{PUBLIC}"]', f'["{PUBLIC}", "{second}"]')
        path.write_text(text.replace("[control]", published))
        assert two.ask(name, "reload").returncode == 0
    with two.at("in"):
        server = socket.create_server(("10.0.0.2", 7000))
    lines: dict[str, tuple[socket.socket, socket.socket]] = {}
    for address in (PUBLIC, second):
        with two.at("out"):
            client = socket.create_connection((address, 7000), PATIENCE)
        lines[address] = client, server.accept()[0]
    time.sleep(1.2)  # a plain flow is replicated when it is one second old (`ha.after`)
    file.write_text(file.read_text().replace(f', "{second}"', ""))
    assert two.ask("gw1", "reload").returncode == 0
    eventually(lambda: two.follows("gw2"))
    assert [each["public"]["address"] for each in two.flows("gw1")] == [PUBLIC]
    for host in ("gw1", "gw2"):
        if host == "gw2":
            fail_over(two)
        client, served = lines[PUBLIC]
        client.settimeout(PATIENCE)
        served.sendall(b"still here")
        assert client.recv(100) == b"still here"
    client, served = lines[second]
    served.settimeout(1)
    client.sendall(b"gone")
    with pytest.raises((TimeoutError, ConnectionError)):
        served.recv(100)
    for each in (server, *(end for line in lines.values() for end in line)):
        each.close()


# -- stores


@pytest.mark.row("HA-14")
def test_a_store_that_restarts_empty_gets_everything_again(two: Pair) -> None:
    with ftp_server(two, "out") as out, ftp_server(two, "in") as inside:
        traffic = Everything(two, out, inside)
        traffic.run_for(RATE // 2)
        two.kill("store")
        time.sleep(1.5)
        assert two.status("gw1")["role"] == "active"
        two.start_store()
        eventually(lambda: two.follows("gw2"))
        assert two.status("gw1")["role"] == "active"
        eventually(lambda: "the store can be used again" in two.log("gw1"))
        fail_over(two)
        traffic.check()


@pytest.mark.row("HA-14")
@pytest.mark.parametrize("how", ["full", "slow", "hangs", "nonsense"])
def test_traffic_goes_on_whatever_the_store_does(two: Pair, how: str) -> None:
    with ftp_server(two, "out") as out, ftp_server(two, "in") as inside:
        traffic = Everything(two, out, inside)
        traffic.run_for(RATE // 2)
        spoil = {"full": fill, "slow": slow_down, "hangs": hang, "nonsense": talk_nonsense}[how]
        spoil(two)
        traffic.check()
        assert two.status("gw1")["role"] == "active"
        eventually(lambda: two.follows("gw2"))


def fill(pair: Pair) -> None:
    def small(client: object) -> None:
        client.config_set("maxmemory-policy", "noeviction")  # type: ignore[attr-defined]
        client.config_set("maxmemory", "1mb")  # type: ignore[attr-defined]

    pair.store(small)
    eventually(lambda: "memory" in pair.status("gw1")["trouble"])
    time.sleep(1)
    pair.store(lambda client: client.config_set("maxmemory", "0"))


def slow_down(pair: Pair) -> None:
    def talk() -> None:
        with ftplib.FTP(timeout=PATIENCE) as session:
            session.connect(REMOTE)
            session.login()
            session.set_pasv(False)
            session.nlst()

    talking = Told(pair, "in", talk)
    while talking.is_alive():
        pair.store(lambda client: client.client_pause(100))
    talking.result()
    assert pair.status("gw1")["late_packets"] > 0


def hang(pair: Pair) -> None:
    pair.processes["store"].send_signal(signal.SIGSTOP)
    eventually(lambda: "does not answer" in pair.status("gw1")["trouble"])
    time.sleep(2)
    assert pair.status("gw1")["role"] == "active", "the other one has consented"
    pair.processes["store"].send_signal(signal.SIGCONT)


def talk_nonsense(pair: Pair) -> None:
    pair.kill("store")
    with pair.at("st"):
        server = socket.create_server(("192.168.9.1", 6379))
    server.settimeout(0.2)
    ends = time.monotonic() + 2

    def talk() -> None:
        while time.monotonic() < ends:
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)

    Told(pair, "st", talk).result()
    server.close()
    pair.start_store()


def test_a_standby_says_that_it_forwards_nothing_wherever_it_seems_to(two: Pair) -> None:
    said = "is a standby and forwards nothing; gw1 is active"
    for listing in ("flows", "mappings"):
        shown = two.ask("gw2", "show", listing, "--json")
        assert (json.loads(shown.stdout), said in shown.stderr) == ([], True)
    question = "explain", "tcp", "10.0.0.2:40000", f"{REMOTE}:80"
    assert said in json.loads(two.ask("gw2", *question, "--json").stdout)["steps"][0]
    assert said not in two.ask("gw1", *question).stdout
    found = json.loads(two.ask("gw2", "doctor", "--json").stdout)
    assert [said in each["what"] for each in found if each.get("subject") == "group"] == [True]
