from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ipmasq.main.service import files, install
from ipmasq.main.service.paths import program


def ask(*options: str) -> subprocess.CompletedProcess[str]:
    command = [str(program()), "install-service", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_unit_is_printed_without_changing_anything():
    done = ask("--print", "-c", "/etc/other.toml")
    assert done.returncode == 0
    assert done.stdout == install.ORIGIN + files.unit(str(program()), "/etc/other.toml")


def test_a_path_that_means_something_else_in_a_unit_is_refused():
    done = ask("--print", "-c", "/etc/100%.toml")
    assert done.returncode == 1
    assert "a unit cannot name /etc/100%.toml" in done.stderr


def test_printing_and_removing_exclude_each_other():
    assert ask("--print", "--remove").returncode == 2


@pytest.mark.skipif(install.BOOTED.exists(), reason="systemd runs this machine")
@pytest.mark.parametrize("option", [(), ("--remove",)])
def test_without_systemd_or_root_it_is_refused_in_one_sentence(option: tuple[str, ...]):
    done = ask(*option)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "systemd" in done.stderr or "root" in done.stderr
    assert not Path("/etc/systemd/system/ipmasq.service").exists()
