"""Fetches from `tests.bench.ftp_server`: `python -m tests.bench.ftp_client ADDRESS {active|passive}:PORT...`.

Prints JSON: for each, what came, in bytes, and how fast, in Gbit/s.
"""

from __future__ import annotations

import ftplib
import json
import sys
import time


def fetch(address: str, port: int, passive: bool) -> tuple[int, float]:
    with ftplib.FTP() as session:
        session.connect(address, port, timeout=10)
        session.login()
        session.set_pasv(passive)
        buffer, size = bytearray(1 << 20), 0
        with session.transfercmd("RETR everything") as data:
            begun = time.perf_counter()
            while got := data.recv_into(buffer):
                size += got
            taken = time.perf_counter() - begun
        session.voidresp()
    return size, size * 8 / taken / 1e9


def main(address: str, *what: str) -> None:
    asked = [each.split(":") for each in what]
    print(json.dumps([fetch(address, int(port), how == "passive") for how, port in asked]))


if __name__ == "__main__":
    main(*sys.argv[1:])
