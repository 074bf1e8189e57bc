"""The programs are those of the version that runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import ipmasq
from tests.planes.ebpf.kernel import OBJECT

LATER = """
import sys
from pathlib import Path
from ipmasq.planes.ebpf import loading
Path(sys.argv[1]).write_bytes(b"those of another version")
print(len(loading.IMAGE or b""), loading.__file__)
"""


def test_they_stay_the_same_when_another_version_is_installed(tmp_path: Path) -> None:
    package = Path(ipmasq.__file__).parent
    copy = tmp_path / "ipmasq"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    there = copy / OBJECT.relative_to(package)
    done = subprocess.run(
        [sys.executable, "-c", LATER, str(there)],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    size, file = done.stdout.split()
    assert Path(file).is_relative_to(copy)
    assert int(size) == OBJECT.stat().st_size
