"""Programs compiled for a test, as `tools/build_bpf.py` compiles those of the package."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.planes.ebpf.test_layout import ROOT, builder

REAL = ROOT / "bpf/ipmasq.bpf.c"


@cache
def compiled(source: Path, *macros: str) -> bytes:
    """`macros`: as after `-D`; by them a mistake or a delay comes into the real programs."""
    with tempfile.TemporaryDirectory(prefix="ipmasq-") as directory:
        made = Path(directory, "made.o")
        module = builder()
        command = [*module.compiler(), "-target", "bpfel", *module.FLAGS, f"-I{ROOT / 'bpf'}"]
        command += [f"-D{each}" for each in macros]
        subprocess.run([*command, "-c", str(source), "-o", str(made)], check=True)
        return made.read_bytes()
