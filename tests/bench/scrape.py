"""A scraper of the metrics: `python -m tests.bench.scrape ADDRESS PORT SECONDS` reads them so often, until it
is ended."""

from __future__ import annotations

import sys
import time
import urllib.request

LONGEST = 600.0


def main(address: str, port: str, pause: float) -> None:
    end, ready = time.monotonic() + LONGEST, False
    while time.monotonic() < end:
        with urllib.request.urlopen(f"http://{address}:{port}/metrics", timeout=10) as answer:
            assert b"ipmasq_flows" in answer.read()
        if not ready:
            print("ready", flush=True)
            ready = True
        time.sleep(pause)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
