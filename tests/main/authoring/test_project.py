"""`ipmasq helper new`: the project works as it was written: its tests, its playbook, its package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ipmasq.config.helpers import in_file
from ipmasq.main.authoring.project import NameTakenError, write
from tests.front.conftest import Ipmasq, ipmasq

__all__ = ["ipmasq"]

TOP = Path(__file__).parents[3]
NAMES = ("courier", "my-protocol", "x2")


def python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_project_has_a_helper_of_its_name_and_its_tests_pass(tmp_path: Path, name: str):
    made = write(name, tmp_path / "project")
    assert in_file(next(path for path in made if path.name == "helper.py")).name == name
    done = python("-m", "pytest", "-p", "no:cacheprovider", cwd=tmp_path / "project")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_the_package_is_found_by_its_entry_point_and_loaded_only_if_it_is_named(tmp_path: Path):
    write("courier", tmp_path / "project")
    wheel = ("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    assert python(*wheel, cwd=tmp_path / "project").returncode == 0
    (built,) = tmp_path.glob("*.whl")
    into = ("-m", "pip", "install", "--no-deps", "--no-index", "--target", "site", str(built))
    assert python(*into, cwd=tmp_path).returncode == 0
    script = (
        "import sys; from ipmasq.config.helpers import installed, installed_names\n"
        "print('courier' in installed_names(), 'ipmasq_courier' in sys.modules)\n"
        "print(installed('courier').name, 'ipmasq_courier' in sys.modules)"
    )
    done = python("-c", script, cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert done.stdout == "True False\ncourier True\n", done.stderr


def test_what_was_written_is_in_the_form_of_this_project(tmp_path: Path):
    write("courier", tmp_path / "project")
    check = ("-m", "ruff", "check", "--isolated", "--select", "E,F,I,UP,B", "--ignore", "E501")
    done = python(*check, cwd=tmp_path / "project")
    assert done.returncode == 0, done.stdout
    done = python("-m", "mypy", "--strict", "project/src", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_every_mention_of_the_name_is_the_name(tmp_path: Path):
    for path in write("my-protocol", tmp_path / "project"):
        assert "$" not in path.read_text(encoding="utf-8")
    project = tomllib.loads((tmp_path / "project" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["ipmasq.helpers"] == {
        "my-protocol": "ipmasq_my_protocol.helper:MyProtocol"
    }


@pytest.mark.parametrize("name", ["", "Courier", "9p", "a b", "../x", "a.b", "courier-"])
def test_what_is_no_name_of_a_helper_is_refused(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="no name of a helper"):
        write(name, tmp_path / "project")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path, tmp_path / "file"):
        with pytest.raises(NameTakenError, match="exists and is not empty"):
            write("courier", target)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_command_lists_what_it_wrote(ipmasq: Ipmasq, tmp_path: Path):
    done = ipmasq("helper", "new", "courier", tmp_path / "new")
    assert done.returncode == 0
    assert f"{tmp_path}/new/src/ipmasq_courier/helper.py\n" in done.stdout
    again = ipmasq("helper", "new", "courier", tmp_path / "new")
    assert (again.returncode, again.stdout) == (1, "")
    assert ipmasq("helper", "new", "Courier").returncode == 2


EXAMPLES = sorted((TOP / "examples").iterdir())
PAGE = (TOP / "docs" / "helper-testing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_tests_of_an_example_pass(example: Path, ipmasq: Ipmasq):
    done = python("-m", "pytest", "-p", "no:cacheprovider", cwd=example)
    assert done.returncode == 0, done.stdout
    (file,) = example.glob("src/*/helper.py")
    (playbook,) = example.glob("tests/*.talk")
    tried = ipmasq("helper", "test", file, "--playbook", playbook)
    assert (tried.returncode, tried.stderr) == (0, "")


def test_the_conversations_on_the_page_about_the_test_kit_are_followed(
    ipmasq: Ipmasq, tmp_path: Path
):
    write("courier", tmp_path / "project")
    blocks = re.findall(r"```\w*\n# (test_courier\.py|courier\.talk)\n(.*?)```", PAGE, re.S)
    assert [name for name, _ in blocks] == ["test_courier.py", "courier.talk"]
    for name, text in blocks:
        (tmp_path / "project" / "tests" / name).write_text(text, encoding="utf-8")
    done = python("-m", "pytest", "-p", "no:cacheprovider", cwd=tmp_path / "project")
    assert done.returncode == 0, done.stdout
    file = tmp_path / "project" / "src" / "ipmasq_courier" / "helper.py"
    talk = tmp_path / "project" / "tests" / "courier.talk"
    assert ipmasq("helper", "test", file, "--playbook", talk).returncode == 0
