"""TFTP between a real server and a real client, whichever of them is masqueraded."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipmasq.core.policy import Behaviour
from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, Running
from tests.live.waiting import eventually
from tests.namespaces import within

pytestmark = pytest.mark.live

CONTENT = bytes(range(256)) * 800
STRICT = int(Behaviour.ADDRESS_AND_PORT_DEPENDENT)
FORWARDS = [("tftp", 17, 69, INSIDE_HOST, 69)]


@contextmanager
def server(network: Network, host: str, address: str, folder: Path) -> Iterator[None]:
    """tftpd-hpa with one file, which answers each request from a port of its own."""
    folder.mkdir()
    (folder / "image").write_bytes(CONTENT)
    (folder / "image").chmod(0o644)
    serving = network.start(
        host, "in.tftpd", "-L", "-u", "root", "-a", f"{address}:69", "-s", str(folder)
    )
    try:
        listens = within(network.name(host), "ss", "-Hlun", "sport", "=", ":69")
        assert eventually(lambda: bool(subprocess.check_output(listens))), "it does not listen"
        yield
    finally:
        serving.terminate()
        serving.communicate(timeout=10)


def fetch(network: Network, host: str, address: str, seconds: int = 20) -> bytes:
    """What a client gets; empty if it gets nothing."""
    command = ("curl", "-s", "-m", str(seconds), f"tftp://{address}/image")
    return subprocess.run(
        within(network.name(host), *command), stdout=subprocess.PIPE, check=False
    ).stdout


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
def test_a_client_behind_a_strict_filter_gets_its_file_with_the_helper_alone(
    network: Network, gateway: Callable[..., Running], plane: str, tmp_path: Path
) -> None:
    with server(network, "out", REMOTE, tmp_path / "served"):
        for helped in (False, True):
            running = gateway(plane=plane, filtering=STRICT, tftp=helped)
            wanted = CONTENT if helped else b""
            assert fetch(network, "in", REMOTE, 20 if helped else 3) == wanted
            assert [helper for _, helper, *_ in running.ask()["flows"]].count("tftp") == helped
            assert running.stop() == ""


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
def test_a_published_server_is_read_from_outside(
    network: Network, gateway: Callable[..., Running], plane: str, tmp_path: Path
) -> None:
    with server(network, "in", INSIDE_HOST, tmp_path / "served"):
        running = gateway(plane=plane, filtering=STRICT, tftp=True, forwards=FORWARDS)
        assert fetch(network, "out", PUBLIC) == CONTENT
        facts = running.ask()
        assert [helper for _, helper, *_ in facts["flows"]].count("tftp") == 1
        assert (facts["fast"] > 100) is (plane == "ebpf-tc"), "the transfer goes by in the kernel"
        assert running.stop() == ""
