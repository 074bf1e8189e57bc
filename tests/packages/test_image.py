"""The OCI image, run by runc from its archive."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.conftest import Network
from tests.namespaces import NETNS
from tests.packages.clean import PATIENCE, ROOT, finish
from tests.packages.conftest import CONFIGURATION
from tests.packages.test_service import fetch

CAPABILITIES = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON"]
LARGEST = 80_000_000
"""Bytes of the archive."""


@pytest.fixture(scope="module")
def archive(package: Path) -> Path:
    return Path(finish([str(ROOT / "tools" / "image")]).split()[-1])


@pytest.fixture
def bundle(archive: Path, network: Network, tmp_path: Path) -> Path:
    """The image as a container engine unpacks it, with what docs/install.md says to permit."""
    layout, made = tmp_path / "layout", tmp_path / "bundle"
    layout.mkdir()
    finish(["tar", "-C", str(layout), "-xf", str(archive)])
    version = archive.name.removeprefix("ipmasq-").removesuffix(".oci.tar")
    finish(["umoci", "unpack", "--image", f"{layout}:ipmasq:{version}", str(made)])
    settings = tmp_path / "gateway.toml"
    settings.write_text(CONFIGURATION)
    path = made / "config.json"
    config = json.loads(path.read_text())
    permit(config, str(NETNS / network.name("gw")), settings)
    path.write_text(json.dumps(config))
    return made


def permit(config: dict[str, object], namespace: str, settings: Path) -> None:
    process, linux = config["process"], config["linux"]
    assert isinstance(process, dict)
    assert isinstance(linux, dict)
    process["terminal"] = False
    process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES)
    for each in linux["namespaces"]:
        if each["type"] == "network":
            each["path"] = namespace
    linux["readonlyPaths"] = []
    device = {"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200, "fileMode": 0o666}
    linux["devices"] = [{**device, "uid": 0, "gid": 0}]
    allowed = {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rw"}
    linux.setdefault("resources", {}).setdefault("devices", []).append(allowed)
    mounts = config["mounts"]
    assert isinstance(mounts, list)
    options = ["bind", "ro"]
    where = "/etc/ipmasq/gateway.toml"
    mounts.append(
        {"type": "bind", "source": str(settings), "destination": where, "options": options}
    )


@contextmanager
def running(bundle: Path) -> Iterator[str]:
    """Run the container. Yields its name."""
    name = f"ipmasq-test-{bundle.stat().st_ino}"
    with (bundle / "log").open("wb") as log:
        process = subprocess.Popen(
            ["runc", "run", "--bundle", str(bundle), name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    deadline = time.monotonic() + 30
    try:
        while b"the gateway runs" not in (bundle / "log").read_bytes():
            assert process.poll() is None, (bundle / "log").read_text()
            assert time.monotonic() < deadline, (bundle / "log").read_text()
            time.sleep(0.05)
        yield name
    finally:
        subprocess.run(["runc", "kill", name, "TERM"], check=False)
        process.wait(timeout=PATIENCE)


def test_the_image_is_small(archive: Path):
    assert archive.stat().st_size < LARGEST


def test_a_container_forwards_an_active_transfer(bundle: Path, network: Network, server: Path):
    (server / "file").write_bytes(b"container" * 1000)
    with running(bundle) as name:
        said = finish(["runc", "exec", name, "ipmasq", "status"])
        assert "ebpf" in said
        assert fetch(network, "--ftp-port", "-") == b"container" * 1000
    assert "the gateway has stopped" in (bundle / "log").read_text()
