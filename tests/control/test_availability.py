"""Requests about a group are refused by a gateway that is alone."""

from __future__ import annotations

import pytest

from ipmasq.control.client import Client
from ipmasq.control.protocol import Kind
from tests.control.refusals import refusal


@pytest.mark.parametrize("request_", ["ha_active", "ha_standby", "ha_status", "ha_members"])
def test_a_gateway_that_is_alone_has_no_role(client: Client, request_: str):
    refused = refusal(client, request_)
    assert refused.kind is Kind.REFUSED
    assert "belongs to no group" in refused.message
