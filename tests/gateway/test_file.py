"""What the gateway says of a forward that is added while it runs: the same as of one in the file."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from ipmasq.config import Loaded, check, read_host_state, restate
from ipmasq.config.tables import table_of
from ipmasq.config.toml import text_of
from ipmasq.core.policy import Forward, Policy, PortRange
from ipmasq.gateway.file import File
from ipmasq.gateway.setup import SetupError
from ipmasq.gateway.sockets import served
from ipmasq.wire.addresses import to_address
from tests.control.running import FINGER, IN1

TOML = """
[gateway]
inside = ["10.0.0.0/24"]
outside = "lo"
[[trigger]]
ports = 6000
opens = "7000-7010"
"""
WITH_PUBLIC = TOML.replace('outside = "lo"', 'outside = "lo"\npublic = "203.0.113.1"')
WEB = Forward("web", 6, None, PortRange(80, 80), IN1, 80)


@pytest.fixture
def file(tmp_path: Path) -> File:
    path = tmp_path / "gateway.toml"
    path.write_text(TOML)
    file = File(path)
    file.read()
    return file


def at(text: str) -> Forward:
    return replace(WEB, inside=to_address(text))


def test_a_forward_to_a_host_inside_has_nothing_to_be_said(file: File):
    assert file.review_forward(WEB, ()) == ()


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (at("198.51.100.1"), "198.51.100.1 is in no inside network"),
        (at("10.0.0.255"), "10.0.0.255 is the broadcast address of the network 10.0.0.0/24"),
        (replace(WEB, public=IN1), "10.0.0.2 is not the public address now (127.0.0.1)"),
        (
            replace(WEB, ports=PortRange(7010, 7010)),
            "trigger 1, opens: overlaps forward web (7010)",
        ),
        (
            Forward("finger", 17, None, PortRange(79, 79), IN1, 79),
            "79 is a port of helper finger, which inspects tcp, not udp",
        ),
    ],
)
def test_what_is_doubtful_in_the_file_is_doubtful_when_it_is_added(
    file: File, forward: Forward, said: str
):
    (told,) = file.review_forward(forward, (FINGER,))
    assert told.startswith(said)


def test_a_mistake_in_the_file_is_refused_when_it_is_added(file: File):
    with pytest.raises(ValueError, match=r"^127\.0\.0\.9 cannot be the address of a server$"):
        file.review_forward(at("127.0.0.9"), ())
    Path(file.path).write_text(WITH_PUBLIC)
    file.read()
    with pytest.raises(ValueError, match=r"10\.0\.0\.2 is not among the public addresses"):
        file.review_forward(replace(WEB, public=IN1), ())


def test_a_forward_of_a_port_that_the_host_serves_is_doubtful(file: File):
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        forward = replace(WEB, ports=PortRange(port, port))
        text = f"this host serves port {port} itself; from outside it can no longer be reached"
        assert file.review_forward(forward, ()) == (text,)
        assert file.review_forward(replace(forward, public=to_address("127.0.0.1")), ()) == (text,)
        assert file.review_forward(replace(forward, protocol=17), ()) == ()
    assert file.review_forward(forward, ()) == ()


@pytest.mark.parametrize("text", ["198.51.100.1", "10.0.0.0", "127.0.0.1", "10.0.0.9"])
def test_both_ways_say_the_same_sentences(file: File, tmp_path: Path, text: str):
    written = tmp_path / "written.toml"
    written.write_text(TOML + text_of({"forward": [table_of(at(text))]}))
    here = read_host_state(served)
    report, without = check(written, here), check(file.path, here)
    known = {each.message for each in (*without.errors, *without.warnings)}
    found = [each.message for each in (*report.errors, *report.warnings)]
    expected = [message for message in found if message not in known]
    assert _said(file, at(text)) == expected


def _said(file: File, forward: Forward) -> list[str]:
    """What is doubtful about a forward, or why it cannot be."""
    try:
        return list(file.review_forward(forward, ()))
    except ValueError as error:
        return [str(error)]


def test_followers_get_every_configuration_without_a_mistake(file: File):
    seen: list[str] = []
    file.followers.append(lambda config: seen.append(config.log.format))
    path = Path(file.path)
    path.write_text(TOML + '[log]\nformat = "json"\n')
    file.read()
    path.write_text(TOML + '[log]\nformat = "yaml"\n')
    with pytest.raises(SetupError, match="format"):
        file.read()
    assert seen == ["json"]
    assert file.config.log.format == "json"


def test_the_policy_is_restated_only_after_it_has_changed(
    file: File, monkeypatch: pytest.MonkeyPatch
):
    """Views ask for it as often as they like, and a thousand forwards take long."""
    restated: list[Policy] = []

    def noted(loaded: Loaded, policy: Policy) -> str:
        restated.append(policy)
        return restate(loaded, policy)

    monkeypatch.setattr("ipmasq.gateway.file.restate", noted)
    policy = file.read().policy
    texts = {file.policy_text(policy) for _ in range(100)}
    assert len(texts) == len(restated) == 1
    changed = replace(policy, forwards=(WEB,))
    assert file.policy_text(changed) != file.policy_text(policy)
    assert restated == [policy, changed, policy]


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("control", '[control]\nmode = "0660"\n'),
        ("state", '[state]\ngrace = "20s"\n'),
        ("ha", "[ha]\nwait = 0.005\n"),
    ],
)
def test_what_a_reload_cannot_change_is_said(file: File, table: str, text: str):
    path = Path(file.path)
    before = path.read_text()
    complete = text if table != "ha" else text + _group(path.parent / "key")
    path.write_text(WITH_PUBLIC + complete)
    said = [each for each in file.read().warnings if "until a restart" in each]
    assert len(said) == 1
    assert f" {table}: has changed" in said[0]
    path.write_text(before)
    assert not [each for each in file.read().warnings if "until a restart" in each]


def _group(key: Path) -> str:
    key.write_text("0123456789abcdef")
    key.chmod(0o600)
    return f'group = "office"\nstore = "redis://192.0.2.1"\nkey_file = "{key}"\n'


def test_a_missing_key_is_said_by_check_as_by_a_start(file: File):
    path = Path(file.path)
    table = _group(path.parent / "key")
    path.write_text(WITH_PUBLIC + "[ha]\n" + table)
    assert not check(path, read_host_state()).errors
    (path.parent / "key").unlink()
    (found,) = check(path, read_host_state()).errors
    assert found.key == "ha.key_file"
    assert "cannot be read" in found.message
    assert not check(path).errors, "another machine has the key"
    with pytest.raises(SetupError, match="cannot be read"):
        file.read()
