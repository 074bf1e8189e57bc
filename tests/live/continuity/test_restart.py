"""What runs through a gateway goes on after its process was killed or restarted: the tun plane."""

from __future__ import annotations

import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.live.conftest import REMOTE, Network, Running
from tests.live.continuity.sessions import FORWARDS, Bulk, Control, connect, control
from tests.live.resets import no_resets
from tests.live.test_tun import udp_socket
from tests.live.waiting import PATIENCE, eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]

SETTINGS = {"plane": "tun", "ftp": True, "forwards": FORWARDS, "grace": 30}
CASES = [("in", "out"), ("out", "in")]
"""The client and the server of a control connection."""


class Gateway:
    def __init__(self, start: Start) -> None:
        self._start = start
        self.running = start(**SETTINGS)

    def restart(self, how: signal.Signals = signal.SIGKILL, pause: float = 0.0) -> None:
        self.running.stop(how)
        time.sleep(pause)
        self.running = self._start(**SETTINGS)
        assert self.running.ask()["state"]["restored_flows"] > 0


@pytest.fixture
def gateway_that_restarts(gateway: Start) -> Gateway:
    return Gateway(gateway)


@pytest.mark.row("HA-1")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGUSR2])
def test_everything_goes_on_after_some_seconds_without_a_gateway(
    network: Network, gateway_that_restarts: Gateway, how: signal.Signals
) -> None:
    with ExitStack() as stack:
        controls = [stack.enter_context(control(network, *case)) for case in CASES]
        for each in controls:
            each.greet()
            each.transfer()
            each.talk("before")
        data = [each.meet(each.announce()) for each in controls]
        transfers = [Bulk(*data[0]), Bulk(data[1][1], data[1][0])]
        ((client, server),) = connect(network, stack, 5000, 1)
        transfers.append(Bulk(client, server))
        idle = connect(network, stack, 6000, 100)
        asking, answering = udp_socket(network, "in"), udp_socket(network, "out", REMOTE, 7000)
        asking.sendto(b"before", (REMOTE, 7000))
        _, public = answering.recvfrom(100)
        answering.sendto(b"answer", public)
        assert gateway_that_restarts.running.has_written()
        carried = [each.bytes for each in transfers]
        with no_resets(network, gateways=("gw",)):
            gateway_that_restarts.restart(how, pause=3.0)

            for each in controls:
                each.talk("after")
            asking.sendto(b"after", (REMOTE, 7000))
            assert answering.recvfrom(100) == (b"after", public)
            for one, other in idle:
                one.sendall(b"ask")
                assert other.recv(3, socket.MSG_WAITALL) == b"ask"
                other.sendall(b"answer")
                assert one.recv(6, socket.MSG_WAITALL) == b"answer"
            deadline = time.monotonic() + 60
            while any(
                each.bytes < had + (1 << 20) for each, had in zip(transfers, carried, strict=True)
            ):
                assert time.monotonic() < deadline, [each.bytes for each in transfers]
                time.sleep(0.1)
            for transfer in transfers:
                transfer.end()
            for each in controls:
                each.transfer()
                each.talk("at last")


@pytest.mark.row("HA-3")
@pytest.mark.parametrize("case", CASES)
def test_a_data_connection_is_admitted_whose_announcement_was_forwarded_before_the_restart(
    network: Network, gateway_that_restarts: Gateway, case: tuple[str, str]
) -> None:
    with control(network, *case) as session:
        session.greet()
        listening = session.announce()
        gateway_that_restarts.restart()
        session.carry(*session.meet(listening))
        session.talk("after")


def announce_in(session: Control, count: int) -> None:
    for number in range(count):
        session.transfer()
        session.talk(f"number {number}")


@pytest.mark.row("HA-4")
@pytest.mark.parametrize("case", CASES)
def test_many_commands_after_edits_of_different_lengths_are_still_in_order(
    network: Network, gateway_that_restarts: Gateway, case: tuple[str, str]
) -> None:
    with control(network, *case) as session:
        session.greet()
        announce_in(session, 3)
        lengths = {len(each) for each in session.told}
        gateway_that_restarts.restart()
        announce_in(session, 10)
        assert lengths
        with no_resets(network, gateways=("gw",)):
            gateway_that_restarts.restart(signal.SIGUSR2)
            announce_in(session, 2)


@pytest.mark.row("HA-5")
def test_a_line_that_was_split_by_the_restart_is_rewritten(
    network: Network, gateway_that_restarts: Gateway
) -> None:
    with control(network, "in", "out") as session:
        session.greet()
        with network.at("in"):
            listening = socket.create_server(("10.0.0.2", 0))
        port = listening.getsockname()[1]
        line = f"PORT 10,0,0,2,{port >> 8},{port & 255}\r\n".encode()
        session.client.connection.sendall(line[:9])
        time.sleep(0.2)
        gateway_that_restarts.restart()
        session.client.connection.sendall(line[9:])
        session.told.append(session.server.hear())
        assert session.told[-1].startswith("PORT 203,0,113,1,")
        session.carry(*session.meet(listening))
        session.talk("after")


def test_with_all_state_lost_no_inside_address_leaves_and_new_connections_work(
    network: Network, gateway_that_restarts: Gateway, tmp_path: object
) -> None:
    del tmp_path
    running = gateway_that_restarts.running
    with control(network, "in", "out") as session:
        session.greet()
        session.transfer()
        running.stop(signal.SIGKILL)
        for each in running.path.parent.glob("state-*"):
            each.unlink()
        gateway_that_restarts.running = gateway_that_restarts._start(**SETTINGS)
        assert gateway_that_restarts.running.ask()["state"]["restored_flows"] == 0
        session.client.connection.settimeout(PATIENCE)
        session.client.say("PORT 10,0,0,2,4,1")
        with pytest.raises(ConnectionResetError):  # by the gateway, in the server's name
            session.client.hear()
    with control(network, "in", "out") as session:
        session.greet()
        session.transfer()


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc", "ebpf-xdp"])
def test_connections_that_end_first_after_the_restart_give_their_ports_free(
    network: Network, gateway: Start, plane: str
) -> None:
    """They were idle, so nobody knows their positions until they end: by either end, both at once, or a reset."""
    settings = SETTINGS | {"plane": plane}
    running = gateway(**settings)
    with ExitStack() as stack:
        idle = connect(network, stack, 6000, 20)
        for client, server in idle:  # more than a window, which the records do not know
            client.sendall(bytes(200_000))
            left = 200_000
            while left:
                left -= len(server.recv(left))
        assert running.has_written()
        assert running.stop(signal.SIGKILL) == ""
        running = gateway(**settings)
        for number, (client, server) in enumerate(idle):
            first, second = (client, server) if number % 2 else (server, client)
            if number % 5 == 4:
                first.sendall(b"!")
                assert second.recv(1) == b"!"
                second.sendall(b"?")
                assert first.recv(1) == b"?"
                first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if number % 5 == 3:
                first.shutdown(socket.SHUT_WR)
            first.close()
            second.close()
    over = {"TIME_WAIT", "CLOSE"}
    assert eventually(lambda: {each[0] for each in running.ask()["flows"]} <= over), running.ask()


def test_flows_that_the_configuration_no_longer_allows_are_told(
    network: Network, gateway: Start
) -> None:
    settings = {**SETTINGS, "ports": "61000-61999"}
    first = gateway(**settings)
    with ExitStack() as stack:
        connect(network, stack, 5000, 3)
        assert first.has_written()
        first.stop(signal.SIGKILL)
        network.ip("gw", "addr add 203.0.113.9/24 dev go")
        second = gateway(**settings, public="203.0.113.9")
        assert second.ask()["state"]["restored_flows"] == 0
        assert "3 of the 3 flows do not go on: the configuration" in second.stop()
