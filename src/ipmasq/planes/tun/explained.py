"""What the kernel refuses, in sentences for the operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.planes.plane import PlaneError


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of the kernel into PlaneError."""
    try:
        yield
    except NetlinkError as error:
        raise PlaneError(f"the kernel refuses a routing change: {error}") from error
    except OSError as error:
        prefix = f"{error.filename}: " if error.filename else ""
        raise PlaneError(f"{prefix}{error.strerror or error}") from error
