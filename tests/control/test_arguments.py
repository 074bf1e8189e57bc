"""What requests can be told, and how a mistake in it is named."""

from __future__ import annotations

import pytest

from ipmasq.control.client import Client
from ipmasq.control.protocol import Kind
from tests.control.refusals import refusal


@pytest.mark.parametrize(
    ("wrong", "location"),
    [
        ({"ports": "70000", "inside": "10.0.0.2"}, "ports"),
        ({"ports": "20-10", "inside": "10.0.0.2"}, "ports"),
        ({"ports": 80, "inside": "ten"}, "inside"),
        ({"ports": 80, "inside": "2001:db8::1"}, "inside"),
        ({"ports": 80, "inside": "10.0.0.0/24"}, "inside"),
        ({"ports": 80, "inside": "10.0.0.2", "public": "::1"}, "public"),
        ({"ports": 0, "inside": "10.0.0.2"}, "ports"),
        ({"ports": "", "inside": "10.0.0.2"}, "ports"),
        ({"ports": 80, "inside": "10.0.0.2", "inside_port": "ftp"}, "inside_port"),
        ({"ports": 80, "inside": "10.0.0.2", "protocol": "icmp"}, "protocol"),
        ({"ports": "1000-2000", "inside": "10.0.0.2", "inside_port": 65000}, "inside_port"),
        ({"ports": 80, "inside": "10.0.0.2", "colour": "red"}, "colour"),
        ({"inside": "10.0.0.2"}, "ports"),
    ],
)
def test_a_wrong_argument_is_named(client: Client, wrong: dict[str, object], location: str):
    error = refusal(client, "forward_add", **wrong)
    assert error.kind is Kind.BAD_ARGUMENT
    assert error.message.startswith(f"{location}: ")


@pytest.mark.parametrize("name", ["web\n2026-01-01 forged", "\x1b[2J", "\u202egnp", " ", "x" * 65])
@pytest.mark.parametrize(
    ("request_", "more"),
    [
        ("forward_add", {"ports": 2121, "inside": "10.0.0.2"}),
        ("forward_remove", {}),
        ("helper_load", {}),
        ("helper_unload", {}),
    ],
)
def test_a_name_is_visible_characters(
    client: Client, request_: str, more: dict[str, object], name: str
):
    error = refusal(client, request_, name=name, **more)
    assert error.kind is Kind.BAD_ARGUMENT
    assert error.message.startswith("name: ")
    assert error.message.isprintable()
