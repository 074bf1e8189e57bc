from __future__ import annotations

import re
from pathlib import Path

import ipmasq
from ipmasq.config import load
from ipmasq.main.service import files


def test_a_unit_names_the_program_and_the_configuration_everywhere():
    text = files.unit("/opt/a/bin/ipmasq", "/etc/b.toml")
    assert "ExecStart=/opt/a/bin/ipmasq run /etc/b.toml\n" in text
    assert "ExecReload=/opt/a/bin/ipmasq check /etc/b.toml\n" in text
    assert "@" not in text.replace("@system-service", "").replace("@privileged", "").replace(
        "@resources", ""
    )


def test_the_unit_of_the_pages_names_the_program_and_gives_no_privilege():
    text = files.web_unit("/opt/a/bin/ipmasq")
    assert "ExecStart=/opt/a/bin/ipmasq web\n" in text
    assert "@IPMASQ@" not in text
    assert "AmbientCapabilities" not in text
    assert "\nCapabilityBoundingSet=\n" in text


def test_other_work_of_the_host_comes_after_packets():
    settings = files.unit("/opt/a/bin/ipmasq", "/etc/b.toml").splitlines()
    assert {"Nice=-10", "CPUWeight=1000"} <= {*settings}


def test_packets_come_before_the_pages_and_the_replays_that_they_begin():
    """The unit forbids a process to set its priority or its limits (`@resources`), so that it must give them itself."""
    settings = files.web_unit("/opt/a/bin/ipmasq").splitlines()
    assert "SystemCallFilter=~@privileged @resources" in settings
    assert {"Nice=10", "CPUWeight=20", "MemoryMax=512M"} <= {*settings}


def test_the_first_configuration_lacks_only_what_the_operator_must_say(tmp_path: Path):
    path = tmp_path / "gateway.toml"
    path.write_text(files.configuration())
    assert {problem.key for problem in load(path).problems} == {
        "gateway.inside",
        "gateway.outside",
    }


def test_the_first_configuration_is_good_once_its_lines_are_in_force(tmp_path: Path):
    path = tmp_path / "gateway.toml"
    path.write_text(files.configuration().replace("#: ", ""))
    assert list(load(path).problems) == []


def test_the_unit_admits_every_address_family_that_the_program_uses():
    """What the service cannot open it does without, more or less well, and only a line in its log says so."""
    (admitted,) = re.findall(
        r"^RestrictAddressFamilies=(.+)$", files.unit("/a", "/b"), re.MULTILINE
    )
    sources = Path(ipmasq.__file__).parent.rglob("*.py")
    used = {name for path in sources for name in re.findall(r"\bAF_[A-Z0-9]+", path.read_text())}
    assert "AF_PACKET" in used
    assert used <= set(admitted.split())


def test_the_descriptions_of_users_fit_the_file_of_users():
    """/etc/passwd has fields between colons (passwd(5)); systemd-sysusers refuses the whole file otherwise."""
    described = re.findall(r'^u \S+ - "(.*)"$', files.user(), re.MULTILINE)
    assert len(described) == 2
    assert not any(":" in each for each in described)
