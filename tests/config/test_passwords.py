"""A URL with a password, put into the wrong setting: whoever reads the message does not read the password."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmasq.config import load
from ipmasq.config.messages import HAS_URL, settings
from ipmasq.config.model import Config, table_at
from tests.config.marked import GATEWAY

NESTED = ("rule", "forward", "trigger", "share", "helper")
URLS = (
    "redis://name:hunter2@host",
    "redis://name:hunter2@host:6379",
    "redis://na:me:hunter2:x@host:1-2",
    "redis://name:hun/hunter2/ter@host",
    "redis://host?password=hunter2",
    "redis://hunter2",
)
SECTIONS = [each for each in settings(Config) if each not in NESTED]


def every_setting() -> list[str]:
    """Each setting of each table, with `{}` for its value."""
    found = []
    for section in settings(Config):
        path = (section, "odd") if section == "helper" else (section, 0)
        header = f"[{section}]" if section in SECTIONS else f"[[{section}]]"
        table = table_at((section,)) if section in SECTIONS else table_at(path)
        if table is not None:
            header = "[helper.odd]" if section == "helper" else header
            found += [f"{header}\n{each} = {{}}\n" for each in settings(table)]
    return found


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("form", ['"{}"', '["{}"]', '{{ 53 = "{}" }}', '{{ "{}" = 1 }}'])
def test_no_message_has_the_password(tmp_path: Path, url: str, form: str) -> None:
    assert len(every_setting()) > 50
    for setting in every_setting():
        text = setting.replace("{}", form.format(url))
        file = tmp_path / "gateway.toml"
        file.write_text(text if text.startswith("[gateway]") else GATEWAY + text)
        for problem in load(str(file)).problems:
            assert "hunter2" not in problem.message, text


def test_the_message_says_that_there_is_a_url(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(GATEWAY + '[ha]\nvotes = "redis://name:hunter2@host"\n')
    assert HAS_URL in [each.message for each in load(str(file)).problems]
