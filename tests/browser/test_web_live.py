"""The pages beside a real gateway: real hosts, FTP and a web process of its own user without any right."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ftplib import FTP
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, enter
from tests.live.as_users import LIMIT, started
from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network

pytestmark = [pytest.mark.live, pytest.mark.browser]

CONFIG = """
[gateway]
inside = "gi"
outside = "go"
plane = "tun"
[control]
socket = "{control}"
view_socket = "{view}"
view_group = "nogroup"
"""
VSFTPD = """listen=YES
background=NO
anonymous_enable=YES
anon_root={root}
secure_chroot_dir={root}
connect_from_port_20=YES
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
xferlog_enable=NO
"""
UNPRIVILEGED = (
    *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"),
    # For the interpreter and the source, which may be in root's home. It opens no socket.
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
)
TOKEN = "a-token-of-the-live-tests-0123456789"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class World:
    """A gateway between two hosts, of which the outside one has an FTP server."""

    def __init__(self, network: Network, directory: Path) -> None:
        self.network = network
        self.directory = directory
        self.control, self.view = directory / "control.sock", directory / "view.sock"
        self.config = directory / "gateway.toml"
        self.config.write_text(CONFIG.format(control=self.control, view=self.view))
        self._gateway = ExitStack()

    def start(self) -> None:
        self._process = self._gateway.enter_context(
            started(self.network, self.config, self.view)
        ).process

    def restart(self) -> None:
        """As `systemctl restart ipmasq` does: the next process goes on with what this one knows."""
        self._process.send_signal(signal.SIGUSR2)
        self._process.wait(LIMIT)
        self.stop()
        self.start()

    def stop(self) -> None:
        self._gateway.close()

    @contextmanager
    def web(
        self, *options: str, port: int, user: Sequence[str] = UNPRIVILEGED
    ) -> Iterator[subprocess.Popen[str]]:
        command = [*user, sys.executable, "-m", "ipmasq", "web", "--listen", f"127.0.0.1:{port}"]
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout
            assert "The pages are at" in process.stdout.readline()
            connect("127.0.0.1", port).close()
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=LIMIT)

    @contextmanager
    def ftp(self) -> Iterator[FTP]:
        with self.network.at("in"):
            client = FTP()
            client.connect(REMOTE, 21, timeout=30)
        client.login()
        client.set_pasv(False)
        try:
            yield client
        finally:
            client.close()


def connect(address: str, port: int) -> socket.socket:
    """Connect to a server that is starting."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            return socket.create_connection((address, port), 10)
        except OSError:
            assert time.monotonic() < deadline, f"nobody answers at {address}:{port}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    directory = Path(tempfile.mkdtemp(prefix="ipmasq-web-"))
    directory.chmod(0o755)  # the unprivileged process reads the socket's path
    network = Network()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        stack.callback(network.down)
        network.up()
        root = directory / "files"
        root.mkdir(mode=0o755)
        with open(root / "big", "wb") as big:
            big.truncate(1 << 28)
        settings = directory / "vsftpd.conf"
        settings.write_text(VSFTPD.format(root=root))
        server = network.start("out", "vsftpd", str(settings))
        stack.callback(server.communicate, timeout=LIMIT)
        stack.callback(server.terminate)
        with network.at("out"):
            connect(REMOTE, 21).close()
        world = World(network, directory)
        stack.callback(world.stop)
        world.start()
        yield world


@pytest.fixture(scope="module")
def port(world: World) -> Iterator[int]:
    """The port of pages that everybody may look at."""
    found = free_port()
    with world.web("--socket", str(world.view), port=found):
        yield found


def state(page: Page):
    return page.locator("header .state")


def test_the_overview_counts_the_packets_of_a_real_host(world: World, port: int, visit: Visit):
    page = visit(f"http://127.0.0.1:{port}/")
    pinging = world.network.start("in", "ping", "-i", "0.1", "-q", REMOTE)
    try:
        expect(page.locator(".card", has_text="Hosts").locator("dd")).to_contain_text("1")
        counted = page.locator(".panel", has_text="Packets per second").locator("p")
        expect(counted).to_contain_text(re.compile(r"engine: [1-9]"))
    finally:
        pinging.terminate()
        pinging.communicate(timeout=LIMIT)


def test_an_ftp_session_is_drawn_and_a_refused_announcement_explained(
    world: World, port: int, visit: Visit
):
    page = visit(f"http://127.0.0.1:{port}/#network")
    with world.ftp() as client, world.network.at("in"):
        expect(page.locator("svg.network line.control")).to_have_count(2)
        with client.transfercmd("RETR big") as data:
            data.recv(1)
            arrows = page.locator("svg.network line.data")
            expect(arrows).to_have_count(2)
            # The server opens the connection of an active transfer, so the arrow points inwards.
            expect(arrows.first).to_have_attribute("marker-start", "url(#end-data)")
            page.goto(f"http://127.0.0.1:{port}/#helpers")
            expect(page.locator(".before").first).to_contain_text("PORT 10,0,0,2,")
            expect(page.locator(".after").first).to_contain_text("PORT 203,0,113,1,")
            client.putcmd("PORT 10,9,9,9,1,1")
            refused = page.locator(".events .bad").first
            expect(refused).to_contain_text("PORT 10,9,9,9,1,1")
            expect(refused).to_contain_text("address")


def test_a_forward_that_is_added_on_the_page_works_for_a_real_client(world: World, visit: Visit):
    token = world.directory / "token"
    token.write_text(TOKEN)
    port = free_port()
    options = ("--socket", str(world.control), "--allow-changes", "--token-file", str(token))
    with world.web(*options, port=port, user=()):
        page = visit(f"http://127.0.0.1:{port}/")
        enter(page, TOKEN)
        page.goto(f"http://127.0.0.1:{port}/#forwards")
        page.get_by_label("Public port or range").fill("2121")
        page.get_by_label("Inside address").fill(INSIDE_HOST)
        page.get_by_label("Its port").fill("8021")
        page.get_by_label("Name").fill("page")
        page.get_by_role("button", name="Publish").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        with world.network.at("in"):
            server = socket.create_server((INSIDE_HOST, 8021))
        with server, world.network.at("out"), connect(PUBLIC, 2121) as client:
            client.sendall(b"hello")
            inside, _ = server.accept()
            with inside:
                assert inside.recv(5, socket.MSG_WAITALL) == b"hello"
        page.get_by_role("button", name="remove forward page").click()
        page.get_by_role("button", name="Yes, remove page").click()
        expect(page.get_by_text("No server is published.")).to_be_visible()


def test_the_host_of_the_gateway_is_examined(port: int, visit: Visit):
    page = visit(f"http://127.0.0.1:{port}/#health")
    said = page.locator("main").get_by_role("status")
    # It works behind everything else on the machine.
    expect(said).to_contain_text(re.compile(r"finding.*, examined at"), timeout=50_000)


def test_the_page_goes_on_when_the_gateway_or_the_web_process_begins_anew(
    world: World, visit: Visit
):
    port = free_port()
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        first.enter_context(world.web("--socket", str(world.view), port=port))
        page = visit(f"http://127.0.0.1:{port}/#network")
        client = stack.enter_context(world.ftp())
        arrows = page.locator("svg.network line.data")
        with world.network.at("in"):
            data = stack.enter_context(client.transfercmd("RETR big"))
        expect(arrows).to_have_count(2)
        world.restart()
        expect(state(page)).to_have_text("live")
        expect(arrows).to_have_count(2)  # with what the gateway has kept
        assert data.recv(1 << 20)
        first.close()
        expect(state(page)).to_have_text("not connected")
        client.putcmd("PORT 10,8,8,8,1,1")
        with world.web("--socket", str(world.view), port=port):
            expect(state(page)).to_have_text("live")
            page.goto(f"http://127.0.0.1:{port}/#helpers")
            refused = page.locator(".events .bad").first
            expect(refused).to_contain_text("PORT 10,8,8,8,1,1")  # which happened meanwhile


REQUESTS = {
    "no token": (b"GET /api/view/flows HTTP/1.1\r\nHost: localhost\r\n\r\n", 401),
    "wrong token": (
        b"GET /api/view/flows HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n",
        401,
    ),
    "wrong origin": (
        b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nAUTH\r\n",
        403,
    ),
    "wrong host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\nAUTH\r\n", 421),
    "no host": (b"GET / HTTP/1.1\r\nAUTH\r\n", 400),
    "traversal": (
        b"GET /vendor/../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nAUTH\r\n",
        404,
    ),
    "oversized": (
        b"POST /api/change/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\nAUTH\r\n",
        413,
    ),
    "oversized capture": (
        b"POST /api/replay HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\nAUTH\r\n",
        413,
    ),
    # The process is told that it may change something, and yet it cannot.
    "more than its role": (
        b"POST /api/change/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
        b'Content-Type: application/json\r\nAUTH\r\n{"flow":1}',
        403,
    ),
    "what is allowed": (b"GET /api/view/flows HTTP/1.1\r\nHost: localhost\r\nAUTH\r\n", 200),
}


def test_what_strangers_try_with_the_running_process_is_refused(world: World):
    token = world.directory / "open-token"
    token.write_text(TOKEN)
    port = free_port()
    options = ("--socket", str(world.view), "--allow-changes", "--token-file", str(token))
    with world.web(*options, port=port) as process, ExitStack() as stack:
        slow = [stack.enter_context(connect("127.0.0.1", port)) for _ in range(60)]
        for each in slow:
            each.sendall(b"GET / HTTP/1.1\r\nHost: local")
        found = {}
        for name, (text, _) in REQUESTS.items():
            with connect("127.0.0.1", port) as link:
                link.sendall(
                    text.replace(b"AUTH", b"Authorization: Bearer " + TOKEN.encode() + b"\r\n")
                )
                found[name] = int(link.makefile("rb").readline().split()[1])
        assert found == {name: status for name, (_, status) in REQUESTS.items()}
        rights = Path(f"/proc/{process.pid}/status").read_text()
        assert "CapEff:\t0000000000000004" in rights, "more than UNPRIVILEGED gives"
    reach = f"import socket; socket.socket(socket.AF_UNIX).connect({str(world.control)!r})"
    done = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "-c", reach], capture_output=True, text=True, check=False
    )
    assert "PermissionError" in done.stderr
    assert os.access(world.control, os.R_OK)
