"""Loading configurations: any text is a report with places, and one without mistakes a policy that works.

The first byte chooses between text as it is, and tables whose keys exist, mostly, with values of any type. A
helper's file is never read: it is code that the operator vouches for.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from fuzz.choices import Choices
from ipmasq.config import ConfigError, Loaded, checking, compile, helpers, load
from ipmasq.config.model import Config, table_at
from ipmasq.core.engine import Engine
from ipmasq.core.policy import Policy
from ipmasq.core.side import Side
from ipmasq.wire.packet import Packet
from tests.config.marked import HERE
from tests.conformance import packets
from tests.core.stress import INNER, OUTER

MEASURED = tuple(
    f"ipmasq.config.{name}"
    for name in (
        *("checking", "compiled", "host_checks", "loading", "locations", "messages", "mistakes"),
        *("model", "problems", "reading", "saved", "sides", "tables", "values", "warnings"),
    )
)
LONGEST = 250
TABLES = ("gateway", "timeouts", "limits", "control", "rule", "forward", "trigger", "helper")
STRINGS = (
    *(
        "10.0.0.0/24",
        "10.0.0.2",
        "10.0.0.2:80",
        "203.0.113.1",
        "203.0.113.0/30",
        "eth0",
        "eth1",
        "lo",
    ),
    *("bare", "::1", "fd00::/8", "0.0.0.0/0", "10.0.0.1/24", "61000-65095", "80", "1-0", "0-70000"),
    *(
        "tcp",
        "udp",
        "icmp",
        "any",
        "30s",
        "1h30m",
        "-1s",
        "5",
        "drop",
        "pass",
        "masquerade",
        "0600",
    ),
    *(
        "address_dependent",
        "endpoint_independent",
        "auto",
        "ebpf",
        "0660",
        "ftp",
        "",
        " ",
        "٣",
        "\x7f",
    ),
)
SCALARS = (
    *("true", "false", "0", "1", "-1", "80", "65536", "600", "0o600", "1e400", "inf", "nan", "1.5"),
    *("99999999999999999999", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "[]", "{}", "[[]]"),
    *('["eth1", "10.0.0.0/24"]', '["61000-61010", 7]', "{a = 1}", '[{a = "b"}]', "'''x\ny'''"),
)


class _NoFile(helpers.HelperError):
    pass


def _no_file(file: Path, class_name: str | None = None) -> Any:
    raise _NoFile(f"{file} is not read here")


_MEMORY = os.memfd_create("configuration")
FILE = Path(f"/proc/self/fd/{_MEMORY}")


def one_input(data: bytes) -> None:
    choices = Choices(data)
    text = tables(choices).encode() if choices(3) else choices.data[choices.at :]
    os.ftruncate(_MEMORY, 0)
    os.pwrite(_MEMORY, text, 0)
    with patch.object(helpers, "in_file", _no_file):  # a fuzzer must not run what it finds
        loaded = load(FILE)
    report = checking.review(loaded, HERE)
    count = text.count(b"\n") + 1
    for problem in (*report.errors, *report.warnings):
        assert str(problem).isprintable(), problem
        assert problem.line is None or 1 <= problem.line <= count, problem
    if policy := _compiled(loaded):
        _works(policy)


def _compiled(loaded: Loaded) -> Policy | None:
    try:
        return compile(loaded, HERE)
    except ConfigError:
        return None


def _works(policy: Policy) -> None:
    engine = Engine(policy, Random(1).randrange, 0.0)
    for side in Side:
        data = packets.udp((INNER, OUTER)[side][0], 5000, (OUTER, INNER)[side][0], 53)
        verdict = engine.receive(Packet(bytearray(data)), side, 0.0)
        assert verdict.reason.name != "FAULT"
    engine.check()
    assert engine.claims() is not None


def tables(choices: Choices) -> str:
    text = ""
    if choices(4):
        text = '[gateway]\ninside = ["10.0.0.0/24"]\noutside = "eth0"\n'
    while choices.left > 0:
        name = choices.pick(TABLES)
        path: tuple[str | int, ...] = (name,)
        if name == "helper":
            path = name, choices.pick(("ftp", "none", "rtsp"))
            text += f"[helper.{path[1]}]\n"
        elif name in ("rule", "forward", "trigger"):
            path = name, 0
            text += f"[[{name}]]\n"
        elif f"[{name}]" not in text:
            text += f"[{name}]\n"
        model = table_at(path) or Config
        keys = [field.alias or key for key, field in model.model_fields.items()]
        for _ in range(choices(5)):
            key = (
                choices.pick(keys)
                if choices(16)
                else choices.pick(("colour", '"a b"', "a.b", '"\\u0000"'))
            )
            value = f'"{choices.pick(STRINGS)}"' if choices(3) else choices.pick(SCALARS)
            text += f"{key} = {value}\n"
        if choices(24) == 0:
            text += choices.bytes(choices(12)).decode("latin-1")
    return text
