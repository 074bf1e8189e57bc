"""A wheel is made of the source tree, and the tree is as it was."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.planes.ebpf.test_layout import builder

ROOT = Path(__file__).parent.parent
PARTS = ("pyproject.toml", "README.md", "LICENSE", "src", "bpf", "tools")
DATA = (
    "ipmasq/config/example.toml",
    "ipmasq/replay/page/page.html",
    "ipmasq/main/authoring/template/helper.py.in",
    "ipmasq/main/authoring/template/README.md",
)
OBJECT = "ipmasq/planes/ebpf/ipmasq.bpf.o"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What a clone has."""
    made = tmp_path / "clone"
    made.mkdir()
    ignored = shutil.ignore_patterns("*.bpf.o", "__pycache__", "*.new")
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, made / part, **({"ignore": ignored} if copy is shutil.copytree else {}))
    return made


def everything(tree: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in tree.rglob("*")}


def wheel(tree: Path, **environment: str) -> ZipFile:
    command = [sys.executable, "-B", "-m", "hatchling", "build", "-t", "wheel", "-d", "../out"]
    said = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    subprocess.run(command, cwd=tree, env=said, check=True, capture_output=True)
    (made,) = (tree.parent / "out").iterdir()
    return ZipFile(made)


def test_a_wheel_has_the_programs_and_leaves_the_tree_as_it_was(tree: Path):
    before = everything(tree)
    with wheel(tree) as made:
        assert made.read(OBJECT).startswith(b"\x7fELF")
        assert set(DATA) <= set(made.namelist())
    assert everything(tree) == before


def test_the_maintainers_of_the_debian_package_are_the_authors():
    (author,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["authors"]
    who = f"{author['name']} <{author['email']}>"
    control = (ROOT / "packaging/debian/control").read_text()
    assert f"Maintainer: {who}\n" in control
    assert f" -- {who}  " in (ROOT / "packaging/debian/changelog").read_text()


def test_the_readme_names_every_library_that_is_needed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (line,) = (x for x in (ROOT / "README.md").read_text().splitlines() if x[:11] == "| libraries")
    needed = {re.split(r"[<>=]", each)[0] for each in project["dependencies"]}
    assert needed <= set(re.findall(r"[\w-]+", line))


def test_a_built_object_is_taken_as_it_is(tree: Path, tmp_path: Path):
    built = tmp_path / "built.o"
    built.write_bytes(b"built elsewhere")
    with wheel(tree, IPMASQ_BPF_OBJECT=str(built), IPMASQ_CLANG="/bin/false") as made:
        assert made.read(OBJECT) == b"built elsewhere"


def test_no_compiler_is_asked_for_where_one_or_a_built_object_is_at_hand(
    tree: Path, monkeypatch: pytest.MonkeyPatch
):
    tool = builder()
    hook = tool.Hook(str(tree), {}, None, None, "", "wheel")
    monkeypatch.setattr(tool, "compiler", lambda: None)
    assert hook.dependencies() == ["ziglang"]
    monkeypatch.setattr(tool, "compiler", lambda: ["clang"])
    assert hook.dependencies() == []
    monkeypatch.setattr(tool, "compiler", lambda: None)
    (tree / "src" / OBJECT).write_bytes(b"")
    assert hook.dependencies() == []
