"""Where there can be no fast path: one sentence says why, then `auto` does without and `ebpf` ends."""

from __future__ import annotations

import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipmasq.planes.ebpf import libbpf
from tests.live.conftest import Network, trace
from tests.planes.ebpf.kernel import OBJECT
from tests.planes.ebpf.test_layout import ROOT, builder

pytestmark = pytest.mark.live

PACKAGE = OBJECT.parents[2]

TOML = """
[gateway]
inside = "gi"
outside = "go"
[control]
socket = "/tmp/{name}.sock"
"""

REFUSED = """
#define tc_inside reads_safely
#include "ipmasq.bpf.c"
#undef tc_inside
SEC("tc") int tc_inside(struct __sk_buff *skb) { return *(int *)(long)skb->mark; }
"""

WITHOUT_BPF = """
import ctypes, os, struct, sys
number, *command = sys.argv[1:]
# Load the number of the system call; is it bpf(2)? Then there is no such call (ENOSYS), else go on.
code = [(0x20, 0, 0, 0), (0x15, 0, 1, int(number)), (6, 0, 0, 0x50026), (6, 0, 0, 0x7FFF0000)]
said = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
program = struct.pack("HP", len(code), ctypes.addressof(said))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, program, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
os.execv(command[0], command)
"""
BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280}


def with_programs(directory: Path) -> tuple[list[str], Path]:
    """Begins a command that runs a copy of ipmasq, with the file of programs that is to be written."""
    copy = directory / "copy" / "ipmasq"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns(OBJECT.name, "__pycache__"))
    return ["env", f"PYTHONPATH={copy.parent}"], copy / OBJECT.relative_to(PACKAGE)


def without_privilege(_: Path) -> list[str]:
    less = "-bpf,-sys_admin,-perfmon"
    return ["setpriv", f"--bounding-set={less}", f"--inh-caps={less}"]


def without_the_library(directory: Path) -> list[str]:
    """The dynamic linker finds an empty file of its name first, and gives up."""
    (directory / libbpf.LIBRARY).touch()
    return ["env", f"LD_LIBRARY_PATH={directory}"]


def with_a_damaged_object(directory: Path) -> list[str]:
    command, made = with_programs(directory)
    made.write_bytes(OBJECT.read_bytes()[:5000])
    return command


def with_a_program_that_the_verifier_refuses(directory: Path) -> list[str]:
    command, made = with_programs(directory)
    build = [*builder().compiler(), "-target", "bpfel", *builder().FLAGS, f"-I{ROOT / 'bpf'}"]
    build += ["-x", "c", "-c", "-", "-o", str(made)]
    subprocess.run(build, input=REFUSED, text=True, check=True)
    return command


def without_ebpf_in_the_kernel(_: Path) -> list[str]:
    return [sys.executable, "-c", WITHOUT_BPF, str(BPF[platform.machine()])]


TROUBLES: dict[Callable[[Path], list[str]], str] = {
    without_privilege: "the programs cannot be loaded: loading programs needs root, or CAP_BPF, "
    "CAP_PERFMON and CAP_NET_ADMIN",
    without_the_library: "there is no libbpf.so.1 (package libbpf1)",
    with_a_damaged_object: "the programs cannot be loaded: their file is damaged",
    with_a_program_that_the_verifier_refuses: "the programs cannot be loaded: "
    "this kernel's verifier refuses the programs",
    without_ebpf_in_the_kernel: "the programs cannot be loaded: this kernel has no eBPF",
}


@pytest.fixture(autouse=True)
def default_route(network: Network) -> None:
    """With it there is nothing that a start has to warn of."""
    network.ip("gw", "route add default dev go")


def ipmasq(
    network: Network, directory: Path, circumstances: list[str], plane: str
) -> subprocess.Popen[str]:
    """The real command, under circumstances."""
    config = directory / "gateway.toml"
    config.write_text(TOML.format(name=network.prefix))
    command = [
        str(Path(sys.executable).with_name("ipmasq")),
        "run",
        "--log",
        "text",
        "-c",
        str(config),
    ]
    return network.start("gw", *circumstances, *command, "--plane", plane)


def said_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout
    said = ""
    while words not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return said


@pytest.mark.parametrize("prevent", TROUBLES, ids=lambda prevent: prevent.__name__)
def test_what_prevents_the_fast_path_is_said_in_a_sentence(
    network: Network, tmp_path: Path, prevent: Callable[[Path], list[str]]
) -> None:
    sentence = TROUBLES[prevent]
    before = trace(network)
    circumstances = prevent(tmp_path)
    ends = ipmasq(network, tmp_path, circumstances, "ebpf")
    said = ends.communicate(timeout=20)[0]
    assert ends.returncode == 1
    assert said == f"ipmasq: {sentence}\n"
    assert trace(network) == before
    goes_on = ipmasq(network, tmp_path, circumstances, "auto")
    try:
        said = said_until(goes_on, "WARNING without the eBPF fast path: ")
        # While it still starts: that, too, ends in good order.
        goes_on.send_signal(signal.SIGTERM)
        said += goes_on.communicate(timeout=20)[0]
        assert f" {sentence}\n" in said
        assert "the gateway runs" in said
        assert "the gateway has stopped" in said
        assert goes_on.returncode == 0
    finally:
        goes_on.kill()
        goes_on.wait()
    assert trace(network) == before


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc", "ebpf-xdp"])
def test_a_second_gateway_is_refused_with_one_sentence_on_each_plane(
    network: Network, tmp_path: Path, plane: str
) -> None:
    first = ipmasq(network, tmp_path, [], plane)
    try:
        said_until(first, "the gateway runs")
        during = trace(network)
        second = ipmasq(network, tmp_path, [], plane)
        said = second.communicate(timeout=20)[0]
        assert second.returncode == 1
        assert re.fullmatch(r"ipmasq: .*running already in this network namespace.*\n", said), said
        assert trace(network) == during
    finally:
        first.terminate()
        first.communicate(timeout=20)
    assert first.returncode == 0
