"""Compile the fast path (bpf/) for the package: as a build hook, or by hand (`python tools/build_bpf.py`).

Any clang from 14 on will do: $IPMASQ_CLANG, else the system's, else the one inside PyPI's `ziglang`. None is needed
where the object is there and newer than its source, or where $IPMASQ_BPF_OBJECT names a built one. A wheel is made
without writing into the source tree; an editable installation has the object there, where it is looked for.
The object is bytecode for the oldest kernels that matter (-mcpu=v3, Linux 5.1) and fits every processor
of the same byte order.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path("bpf/ipmasq.bpf.c")
OBJECT = Path("src/ipmasq/planes/ebpf/ipmasq.bpf.o")
OLDEST = 14
FLAGS = ["-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror"]


def compiler() -> list[str] | None:
    """A command that compiles for BPF, with its include paths; None if there is none."""
    if chosen := os.environ.get("IPMASQ_CLANG"):
        return [*shlex.split(chosen), *_system_headers()]
    if (clang := system_clang()) and Path("/usr/include/linux/bpf.h").exists():
        return [clang, *_system_headers()]
    if spec := importlib.util.find_spec("ziglang"):
        (home,) = spec.submodule_search_locations or ("",)
        headers = Path(home, "lib/libc/include")
        own = headers / f"{_family()}-linux-any"
        return [f"{home}/zig", "clang", f"-I{headers}/any-linux-any", f"-I{own}"]
    return None


def system_clang() -> str | None:
    for name in ("clang", *(f"clang-{version}" for version in range(22, OLDEST - 1, -1))):
        path = shutil.which(name)
        if path and _version(path) >= OLDEST:
            return path
    return None


def _version(path: str) -> int:
    done = subprocess.run([path, "-dumpversion"], capture_output=True, text=True, check=False)
    major = done.stdout.partition(".")[0]
    return int(major) if major.isdigit() else 0


def _system_headers() -> list[str]:
    return [f"-I/usr/include/{platform.machine()}-linux-gnu"]


def _family() -> str:
    machine = platform.machine()
    known = {"x86_64": "x86", "aarch64": "aarch64", "riscv64": "riscv", "s390x": "s390x"}
    return known.get(machine, machine)


def at_hand(root: Path = ROOT) -> Path | None:
    """A built object that can be taken as it is."""
    if chosen := os.environ.get("IPMASQ_BPF_OBJECT"):
        return Path(chosen)
    made = root / OBJECT
    newest = max(each.stat().st_mtime for each in (root / SOURCE).parent.iterdir())
    return made if made.exists() and made.stat().st_mtime >= newest else None


def build(root: Path = ROOT) -> Path:
    """Compile in the source tree, unless that has been done. Raises SystemExit with one sentence."""
    made, found = root / OBJECT, at_hand(root)
    if found is None:
        compile_to(made, root)
    elif found != made:
        shutil.copyfile(found, made)
    return made


def compile_to(made: Path, root: Path = ROOT) -> None:
    """Raises SystemExit with one sentence."""
    command = compiler()
    if command is None:
        raise SystemExit("compiling bpf/ needs clang 14 or later, or the Python package ziglang")
    target = "bpfel" if sys.byteorder == "little" else "bpfeb"
    draft, source = made.with_suffix(".new"), root / SOURCE
    done = subprocess.run(
        [*command, "-target", target, *FLAGS, "-c", str(source), "-o", str(draft)], check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} could not compile {SOURCE}")
    draft.replace(made)


class Hook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if at_hand(Path(self.root)) or compiler() else ["ziglang"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        if version == "editable":
            build(root)
            return
        found = at_hand(root)
        if found is None:
            self._directory = tempfile.mkdtemp(prefix="ipmasq-bpf-")
            found = Path(self._directory, OBJECT.name)
            compile_to(found, root)
        build_data["force_include"][str(found)] = str(OBJECT.relative_to("src"))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if directory := getattr(self, "_directory", None):
            shutil.rmtree(directory)


if __name__ == "__main__":
    print(build())
