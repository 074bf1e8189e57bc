"""A browser that shows flows, and `ipmasq top`, in one process: `python -m tests.bench.viewer ADDRESS:PORT SOCKET`. It reads the
events of `ipmasq web`, asks for the busiest flows as often as the page does, and runs the terminal's screen without a
terminal, until it is ended."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import urllib.request

from ipmasq.front.top.app import Top
from ipmasq.front.upstream import Upstream

LONGEST = 600.0
EVERY = 2.0


def read_events(web: str) -> None:
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://{web}/api/events", timeout=30) as stream:
                while stream.readline():
                    pass
        except OSError:
            time.sleep(0.1)  # it does not listen yet


def ask_for_flows(web: str) -> None:
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://{web}/api/view/top", timeout=30) as answer:
                assert b"rows" in answer.read()
        except ConnectionRefusedError:
            pass
        time.sleep(EVERY)


async def watch(socket: str) -> None:
    async with Top(Upstream(socket)).run_test(size=(80, 24)):
        print("ready", file=sys.__stdout__, flush=True)
        await asyncio.sleep(LONGEST)


def main(web: str, socket: str) -> None:
    for target in (read_events, ask_for_flows):
        threading.Thread(target=target, args=(web,), daemon=True).start()
    asyncio.run(watch(socket))


if __name__ == "__main__":
    main(*sys.argv[1:3])
