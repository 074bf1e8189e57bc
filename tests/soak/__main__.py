"""`python -m tests.soak --minutes 20`: a mixed load through a gateway, and a verdict. Needs root.

It ends with 0 if all is well, with 1 if not, with 2 if it was called wrongly.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.soak.soak import Plan, soak
from tests.soak.verdict import judge, told

PLANES = ("tun", "ebpf-tc", "ebpf-xdp")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--plane", choices=PLANES, default="tun")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the faults")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two attempts")
    parser.add_argument("--flood", type=float, default=200.0, help="packets per second and side")
    parser.add_argument(
        "--act", type=float, default=3.0, help="seconds between the operator's acts"
    )
    parser.add_argument("--no-faults", dest="faults", action="store_false")
    parser.add_argument("--no-flaps", dest="flaps", action="store_false")
    parser.add_argument("--diagnose", action="store_true", help="tell where memory was allocated")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="for all samples, as JSON lines")
    parser.add_argument("--logs", type=Path, metavar="DIRECTORY", help="for what was logged")
    plan = Plan(**vars(parser.parse_args(arguments)))
    # A polite end, so that namespaces and processes go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"a soak of {plan.minutes:g} minutes, plane {plan.plane}, seed {plan.seed}", flush=True)
    outcome = soak(plan, lambda text: print(text, flush=True))
    print(told(outcome))
    faults = judge(outcome)
    for fault in faults:
        print(f"FAULT: {fault}")
    print("verdict: " + ("bad" if faults else "good"))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
