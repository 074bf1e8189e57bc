"""56 connections of one user to the control socket, which send a byte now and then, and never a request.

Another member of the control socket's group must still get an answer.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import time
from contextlib import suppress
from multiprocessing.connection import Connection

from tests.hostile.network import Network
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 11"
GROUP, GROUP_NUMBER = "users", 100
DRIPPER, OTHER = 61_001, 61_002
CONNECTIONS, SECONDS = 56, 12.0
SETTINGS = {"control": {"mode": "0660", "group": GROUP}}
REQUEST = b'{"ipmasq": 1, "request": "status"}\n'
_fork = multiprocessing.get_context("fork")


def attack(network: Network) -> Verdict:
    path = str(network.gateway.socket)
    control(_asked_by(OTHER, path), "a member of the group gets no answer even without the attack")
    ours, theirs = _fork.Pipe()
    dripper = _fork.Process(target=_drip, args=(path, theirs), daemon=True)
    dripper.start()
    control(ours.poll(10) and ours.recv() == CONNECTIONS, "the connections were not made")
    time.sleep(1.5)
    answered = [_asked_by(OTHER, path) for _ in range(3)]
    dripper.kill()
    dripper.join(10)
    return held_if(
        all(answered), f"{sum(answered)} of {len(answered)} requests of another answered"
    )


def _become(user: int) -> None:
    os.setgroups([GROUP_NUMBER])
    os.setgid(GROUP_NUMBER)
    os.setuid(user)


def _drip(path: str, said: Connection) -> None:
    _become(DRIPPER)
    links = []
    for _ in range(CONNECTIONS):
        link = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            link.connect(path)
            links.append(link)
    said.send(len(links))
    for number in range(int(SECONDS / 0.25)):
        for link in links:
            with suppress(OSError):
                link.send(REQUEST[:1] if number == 0 else b" ")
        time.sleep(0.25)


def _asked_by(user: int, path: str) -> bool:
    process = _fork.Process(target=_ask, args=(user, path), daemon=True)
    process.start()
    process.join(5)
    if process.is_alive():
        process.kill()
        process.join(5)
    return process.exitcode == 0


def _ask(user: int, path: str) -> None:
    _become(user)
    heard = b""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as link:
        link.settimeout(4)
        link.connect(path)
        link.sendall(REQUEST)
        while b'"done"' not in heard and b'"error"' not in heard:
            some = link.recv(1 << 16)
            if not some:
                break
            heard += some
    os._exit(0 if any("row" in json.loads(each) for each in heard.split(b"\n") if each) else 1)
