"""Puts a saved state in place, while no gateway runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from ipmasq.continuity.kept import Location
from ipmasq.continuity.placing import put
from ipmasq.continuity.store import StoreError
from ipmasq.front.exits import give_up
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.journal import reserved


def load(file: Path, location: Location) -> Iterator[str]:
    """Put the state in place, and yield what was done, in sentences. Raises OSError and typer.Exit; then nothing has changed."""
    try:
        with reserved():
            found, replaced = put(file, location, time.monotonic(), time.time())
    except PlaneError as error:
        raise give_up(f"nothing is loaded: {error}; end it first: ipmasq stop") from None
    except FileNotFoundError:
        raise give_up(f"nothing is loaded: there is no state {file}") from None
    except StoreError as error:
        raise give_up(f"nothing is loaded: {error}") from None
    flows = found.flows().total()
    yield f"loaded {flows} flow{'s' * (flows != 1)}: the next ipmasq run goes on with them"
    if replaced is not None:
        yield f"the state that was there is now {replaced}"
