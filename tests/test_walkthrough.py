"""How pages are read, and what counts as the same output."""

from __future__ import annotations

import pytest

from tests.walkthrough.likeness import is_like, mask
from tests.walkthrough.page import Type, Write, copied, steps, with_shown
from tests.walkthrough.session import README, pages

PAGE = """\
# A page

```toml
# /etc/ipmasq/gateway.toml
[gateway]
```

```toml
[gateway]    # a part of a file, which is not written
```

```console
root@in1# ls \\
  -l
a
b
# echo
```

```ini
# /etc/vsftpd.conf on in2
listen=YES
```
"""


def test_a_page_is_files_and_commands_in_its_order():
    config, listing, echo, server = steps(PAGE)
    assert config == Write(
        "/etc/ipmasq/gateway.toml", "gw1", "# /etc/ipmasq/gateway.toml\n[gateway]\n"
    )
    assert isinstance(listing, Type)
    assert (listing.host, listing.command) == ("in1", "ls \\\n  -l")
    assert listing.shown == ("a", "b")
    assert isinstance(echo, Type)
    assert (echo.host, echo.command, echo.shown) == (None, "echo", ())
    assert server == Write("/etc/vsftpd.conf", "in2", "# /etc/vsftpd.conf on in2\nlisten=YES\n")


def test_a_session_that_begins_with_no_prompt_is_a_mistake():
    with pytest.raises(ValueError, match="line 2: a session begins with a prompt"):
        list(steps("```console\nls\n```\n"))


def test_what_is_shown_is_written_below_its_command():
    listing = next(step for step in steps(PAGE) if isinstance(step, Type))
    changed = with_shown(PAGE, {listing: ["c"]})
    assert changed == PAGE.replace("a\nb\n", "c\n")


def test_the_sessions_of_the_readme_are_those_of_the_pages():
    text = README.read_text(encoding="utf-8")
    shown = copied(text, (page.read_text(encoding="utf-8") for page in pages()))
    commands = [step.command.split()[1] for step in shown]
    assert commands == ["show", "watch", "explain"]
    assert with_shown(text, shown) == text, "python -m tests.walkthrough writes it"


def test_a_session_that_no_page_has_cannot_be_copied():
    with pytest.raises(KeyError, match="ls -a"):
        copied("```console\n# ls -a\n```\n", [PAGE])


@pytest.mark.parametrize(
    ("said", "shown", "alike"),
    [
        (["flow 1: 12s 1.2k"], ["flow 17:  4m0s  98"], True),
        (["flow 1"], ["flow one"], False),
        (["10.0.0.2:21"], ["10.0.0.2:22"], False),
        (["10.0.0.2:40000"], ["10.0.0.2:51234"], True),
        (["10.0.0.2:40000"], ["10.0.0.2:2122"], True),
        (["10.0.0.2:2121"], ["10.0.0.2:2122"], False),
        (["10.0.0.2:40000"], ["10.0.0.3:40000"], False),
        (["a", "..."], ["a", "b", "c"], True),
        (["a", "..."], ["b", "a"], False),
        (["...", "c"], ["a", "b", "c"], True),
        (["...", "b", "..."], ["a", "b", "c"], True),
        (["...", "x", "..."], ["a", "b", "c"], False),
        (["a"], ["a", "b"], False),
        (["a", "b"], ["a"], False),
    ],
)
def test_output_is_alike_apart_from_numbers_that_differ_each_time(
    said: list[str], shown: list[str], alike: bool
):
    assert is_like(said, shown) is alike


def test_colours_are_not_compared():
    assert mask("\x1b[1mflow\x1b[0m") == "flow"


def test_the_tutorial_and_how_to_pages_have_something_to_type():
    assert "tutorial" in {page.stem for page in pages()}
