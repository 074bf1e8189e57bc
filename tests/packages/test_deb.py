"""The Debian package: what it has, how it is upgraded, and that nothing is left of it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.live.conftest import Network, trace
from tests.namespaces import within
from tests.packages.clean import ROOT, Debian, Machine, finish
from tests.packages.conftest import CONFIGURATION, tree_status

LEFT = "find / -xdev -name '*ipmasq*' -not -path '/root/*'"


@pytest.fixture
def copied(debian: Debian, tmp_path: Path) -> Debian:
    """A copy of the Debian with the package, for a test that takes it away."""
    return debian.copy(tmp_path / "copy")


def newer(package: Path, directory: Path) -> Path:
    """The same package with a later version."""
    tree, made = directory / "tree", directory / "newer.deb"
    finish(["dpkg-deb", "-R", str(package), str(tree)])
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1+later", control.read_text()))
    finish(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", str(tree), str(made)])
    shutil.rmtree(tree)
    return made


def test_lintian_finds_nothing(package: Path):
    (changes,) = package.parent.glob("*.changes")
    found = finish(["lintian", "--allow-root", "--fail-on=error,warning", str(changes)])
    assert found == ""


def test_a_package_has_the_version_of_the_project(package: Path, wheel: Path):
    assert package.name.split("_")[1] == wheel.name.split("-")[1]


@pytest.mark.parametrize("kind", ["grafana", "keepalived", "prometheus"])
def test_what_the_pages_tell_to_copy_is_in_the_package(package: Path, kind: str):
    packed = finish(["dpkg-deb", "--contents", str(package)])
    for each in (ROOT / "contrib" / kind).iterdir():
        assert f"./usr/share/doc/ipmasq/examples/{kind}/{each.name}\n" in packed


def test_the_package_is_as_small_as_the_documentation_says(package: Path):
    text = (ROOT / "docs" / "install.md").read_text("utf-8")
    said = re.search(r"The package has ([\d.]+) MB, and takes (\d+) MB on disk", text)
    assert said
    installed = int(finish(["dpkg-deb", "--field", str(package), "Installed-Size"])) / 1000
    for real, told in ((package.stat().st_size / 1e6, said[1]), (installed, said[2])):
        assert 0.9 < real / float(told) < 1.1


def test_a_fresh_installation_is_complete_and_says_what_to_do(debian: Debian):
    assert debian.run("ipmasq", "--version").startswith("ipmasq ")
    script = "ipmasq check; echo $?; test -s /usr/share/man/man8/ipmasq.8.gz; echo $?"
    said = debian.run("sh", "-c", f"{script}; id -un ipmasq; command -v clang gcc || true")
    assert "inside" in said
    assert said.splitlines()[-3:] == ["3", "0", "ipmasq"], "and there is no compiler"


def test_a_shell_completes_commands(debian: Debian):
    ask = (
        ". /usr/share/bash-completion/completions/ipmasq; COMP_WORDS=(ipmasq statu); COMP_CWORD=1;"
    )
    ask += ' _ipmasq_completion ipmasq; echo "${COMPREPLY[@]}"'
    assert debian.run("bash", "-c", ask).split() == ["status"]


def test_an_upgrade_restarts_what_runs_and_a_purge_leaves_nothing(
    copied: Debian, package: Path, network: Network, tmp_path: Path
):
    copied.put(newer(package, tmp_path), "/root/newer.deb")
    before = trace(network)
    with copied.booted(*within(network.name("gw"))) as machine:
        machine.write("/etc/ipmasq/gateway.toml", CONFIGURATION)
        machine.run("systemctl", "enable", "--now", "ipmasq", "ipmasq-web")
        old = machine.show("MainPID")
        said = machine.run("apt-get", "install", "-q", "-y", "/root/newer.deb")
        assert machine.show("ActiveState") == "active", said + machine.log()
        assert machine.show("MainPID") != old
        assert machine.run("systemctl", "is-active", "ipmasq-web") == "active\n"
        assert machine.file("/etc/ipmasq/gateway.toml").read_text() == CONFIGURATION
        _remove(machine)
        assert trace(network) == before


def _remove(machine: Machine) -> None:
    """Remove the package, which stops it and keeps its configuration; then purge it."""
    machine.run("apt-get", "remove", "-q", "-y", "ipmasq")
    for unit in ("ipmasq", "ipmasq-web"):
        assert machine.ask("systemctl", "is-active", unit).stdout.strip() == "inactive"
    assert machine.file("/etc/ipmasq/gateway.toml").exists()
    machine.run("apt-get", "purge", "-q", "-y", "ipmasq")
    assert machine.run("sh", "-c", LEFT) == ""
    assert machine.run("sh", "-c", "ls /run; cat /etc/passwd /etc/group").count("ipmasq") == 0


def test_what_is_built_is_not_in_the_source_tree(tree_before: str, package: Path):
    assert tree_status() == tree_before
