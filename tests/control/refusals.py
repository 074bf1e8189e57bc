"""What a gateway refuses, for tests."""

from __future__ import annotations

import pytest

from ipmasq.control.client import Client
from ipmasq.control.protocol import RequestError


def refusal(client: Client, request: str, **arguments: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        client.ask(request, **arguments)
    return caught.value
