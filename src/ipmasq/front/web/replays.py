"""Captures that browsers send: each is replayed by a process of its own, and its page is kept for a while.

A capture may be hostile. It goes to `ipmasq replay`, whose time and memory are bounded, with the gateway's policy. The
page that comes of it is shown in a frame without an origin, so nothing in it could reach these pages.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import resource
import secrets
import sys
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from ipmasq.continuity.scratch import scratch
from ipmasq.control.client import UnreachableError
from ipmasq.control.protocol import RequestError
from ipmasq.front.upstream import Upstream
from ipmasq.front.web.api import failed
from ipmasq.front.web.guard import Answer, refused
from ipmasq.front.web.presence import while_connected
from ipmasq.front.web.slots import UPLOAD, DisplacedError, NoSlotError, Slot, Slots
from ipmasq.front.web.turns import BusyError, Turns

PATIENCE = 60.0
"""Seconds that a replay may take."""

MEMORY = 1 << 30
"""Bytes of addresses that it may use. The service's unit has a limit of its own, and forbids this one."""

NICE = 10
"""What its share of the processor is reduced by (setpriority(2))."""

KEPT = 4
"""Pages that are kept; the oldest one goes for a new one."""

LARGEST_PAGE = 64 << 20
"""Bytes of a page; that of 10,000 usual steps has 5 MB."""

LONGEST_NOTICE = 1000
"""Characters of what a replay says."""

POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Content-Security-Policy of such a page. The one in the page itself allows its own script and style alone."""

DIES_WITH_US = """
import os, sys
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
except (ImportError, OSError, AttributeError, MemoryError):
    pass
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Starts a program that is killed when this process is (PR_SET_PDEATHSIG of prctl(2)). setpriv(1) would call capset(2),
which the service's unit forbids."""

WRONG_NAME = re.compile(r"[^A-Za-z0-9._-]+")

OTHERWISE = "`ipmasq replay IN --html PAGE`, on the gateway, has no such limit"


class ReplayError(Exception):
    """There is no page. The message is for people."""


class Replayed(NamedTuple):
    page: bytes
    """Compressed with gzip."""
    notice: str
    """What the reader has to know, such as that the capture is damaged; empty if there is nothing."""


class Replays:
    def __init__(self, upstream: Upstream, turns: Turns) -> None:
        self._upstream = upstream
        self._turns = turns
        self._slots = Slots()
        self._one = asyncio.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    async def take(self, request: Request) -> Response:
        """Replay the capture that is the body of the request."""
        try:
            with self._slots.slot(request.state.client) as slot:
                done = await self._replay(request, slot)
        except NoSlotError as error:
            return refused(503, str(error))
        except DisplacedError:
            return refused(503, f"the capture came slowly, and others wait; {OTHERWISE}")
        except (RequestError, UnreachableError) as error:
            return failed(error)
        except ReplayError as error:
            return refused(422, str(error))
        except TimeoutError:
            return refused(408, f"the capture did not come in {UPLOAD:g} s; {OTHERWISE}")
        except OSError as error:
            return refused(500, f"the capture cannot be replayed here: {error.strerror}")
        except BusyError:
            return refused(503, "the gateway is answering others; try again in a moment")
        return Answer({"page": f"/replay/{self._keep(done.page)}", "notice": done.notice})

    async def page(self, request: Request) -> Response:
        page = self._kept.get(request.path_params["name"])
        if page is None:
            return refused(404, "this page is not kept any more; replay the capture again")
        headers = {"Content-Encoding": "gzip", "Content-Security-Policy": POLICY}
        return Response(page, headers=headers, media_type="text/html; charset=utf-8")

    async def _replay(self, request: Request, slot: Slot) -> Replayed:
        with scratch() as directory:
            capture = Path(directory, "capture", _name(request.query_params.get("name", "")))
            capture.parent.mkdir()
            async with slot.upload():
                with capture.open("wb") as target:
                    async for chunk in request.stream():
                        target.write(chunk)
                        slot.received += len(chunk)
            work = self._made(capture, request.state.client)
            return await while_connected(request.receive, work)

    async def _made(self, capture: Path, client: str) -> Replayed:
        async with self._turns.turn(client):
            ((answer,), _) = await self._upstream.rows("policy", {}, 1)
        directory = capture.parent.parent
        config = directory / "gateway.toml"
        config.write_text(answer["text"], encoding="utf-8")
        async with self._one:
            return await _replay(capture, config, directory / "page.html")

    def _keep(self, page: bytes) -> str:
        name = secrets.token_urlsafe(16)
        self._kept[name] = page
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return name


def _name(given: str) -> str:
    """Return a name for the capture's file, which the page has as its title."""
    return WRONG_NAME.sub("_", given)[-80:].lstrip(".-") or "capture"


async def _replay(capture: Path, config: Path, page: Path) -> Replayed:
    """Raises ReplayError."""
    program = Path(sys.executable).with_name("ipmasq")
    program.stat()  # raises OSError where the error says why, before another program is to start it
    options = ("-c", str(config), "--elsewhere", "--html", str(page))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-ISc", DIES_WITH_US, str(program), "replay", str(capture), *options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    with suppress(OSError, ValueError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (int(PATIENCE) + 1,) * 2)
    text = await _said(process)
    for path, name in ((capture, "the capture"), (config, "the gateway's configuration")):
        text = text.replace(str(path), name)
    if process.returncode in (-9, -6) or "MemoryError" in text:
        raise ReplayError(
            f"the capture needs more memory than there is for these pages; {OTHERWISE}"
        )
    if not page.exists():
        raise ReplayError(text or "the capture cannot be replayed")
    if page.stat().st_size > LARGEST_PAGE:
        raise ReplayError(f"the page of this capture is too large; {OTHERWISE}")
    made = await asyncio.to_thread(lambda: gzip.compress(page.read_bytes(), 1))
    return Replayed(made, text if process.returncode else "")


async def _said(process: asyncio.subprocess.Process) -> str:
    """Return what the process has said when it ends. Raises ReplayError if that takes too long; then it is killed, as
    it is when nobody waits any more."""
    try:
        _, said = await asyncio.wait_for(process.communicate(), PATIENCE)
    except TimeoutError:
        raise ReplayError(f"the replay took longer than {PATIENCE:g} s; {OTHERWISE}") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    lines = said.decode("utf-8", "replace").splitlines()
    return "; ".join(line.removeprefix("ipmasq: ") for line in lines)[:LONGEST_NOTICE]
