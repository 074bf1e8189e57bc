"""Build the Debian package below build/deb and print its path: `python tools/deb.py`. Needs no network.

What debian/rules puts into the package is made here first: a tree of its own, so that nothing is written into the
source. Raises CalledProcessError if a tool fails, after what it said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

from ipmasq.main.service.files import configuration, unit, user, web_unit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import man, vendor  # noqa: E402

BUILD = ROOT / "build" / "deb"
TREE = BUILD / "ipmasq"
PROGRAM = "/usr/bin/ipmasq"
CONFIGURATION = "/etc/ipmasq/gateway.toml"
COMPLETIONS = {"bash": "ipmasq", "zsh": "_ipmasq", "fish": "ipmasq.fish"}


def prepare(wheel: Path) -> None:
    """Make the tree from which the package is built."""
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(ROOT / "packaging" / "debian", TREE / "debian")
    shutil.copy(ROOT / "README.md", TREE)
    _vendor(wheel)
    _service()
    _completions()
    man.main(TREE / "man")
    (TREE / "examples").mkdir()
    for name in ("prometheus", "grafana", "keepalived"):
        shutil.copytree(ROOT / "contrib" / name, TREE / "examples" / name)
    example = (files("ipmasq.config") / "example.toml").read_text("utf-8")
    (TREE / "examples" / "gateway.toml").write_text(example, "utf-8")


def _vendor(wheel: Path) -> None:
    with ZipFile(wheel) as own:
        own.extractall(TREE / "vendor")
    others = vendor.needed_by("ipmasq")
    with (TREE / "debian" / "copyright").open("a", encoding="utf-8") as licences:
        for each in others:
            vendor.copy(each, TREE / "vendor")
            licences.write(f"\n{vendor.paragraph(each)}\n")


def _service() -> None:
    debian, service = TREE / "debian", TREE / "service"
    (debian / "ipmasq.service").write_text(unit(PROGRAM, CONFIGURATION), "utf-8")
    (debian / "ipmasq.ipmasq-web.service").write_text(web_unit(PROGRAM), "utf-8")
    (debian / "ipmasq.sysusers").write_text(user(), "utf-8")
    service.mkdir()
    (service / "gateway.toml").write_text(configuration(), "utf-8")
    program = service / "ipmasq"
    shutil.move(debian / "ipmasq.program", program)
    program.chmod(0o755)


def _completions() -> None:
    (TREE / "completions").mkdir()
    for shell, name in COMPLETIONS.items():
        asked = {**os.environ, "_IPMASQ_COMPLETE": f"source_{shell}"}
        command = [str(Path(sys.executable).with_name("ipmasq"))]
        done = subprocess.run(command, env=asked, capture_output=True, text=True, check=True)
        (TREE / "completions" / name).write_text(done.stdout.lstrip(), "utf-8")


def build() -> Path:
    """Build the package of the tree. Return its path."""
    log = BUILD / "build.log"
    with log.open("w") as said:
        # tools/debian has installed what it needs, but not the compiler that every Debian build implies.
        command = ["dpkg-buildpackage", "--build=binary", "--no-sign", "--no-check-builddeps"]
        done = subprocess.run(command, cwd=TREE, stdout=said, stderr=said, check=False)
    if done.returncode:
        raise SystemExit(log.read_text())
    (made,) = BUILD.glob("*.deb")
    return made


if __name__ == "__main__":
    (wheel,) = (ROOT / "build" / "dist").glob("ipmasq-*.whl")
    prepare(wheel)
    print(build())
