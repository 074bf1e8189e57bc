#!/usr/bin/env python3
"""Compare this tree with another commit, in turn, so that the machine's moods fall on both alike.

    tools/bench_against.py COMMIT [--only NAME ...] [--rounds N]

Each round runs the benches once in the other commit's tree (a worktree below build/) and once here, and
the order changes from round to round. Printed is, for each figure that both have, the median of each
side and the median and range of the rounds' own ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
USUAL = ("engine.speed", "engine.new")
BETTER_IF_LESS = ("us/packet", "us", "ms", "s", "bytes", "ns", "bytes/flow")
"""Units of which less is better; of all others more is."""

Samples = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("commit", help="what to compare this tree with")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a bench (default: engine)"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument(
        "--runs", type=int, default=1, metavar="N", help="runs in each round (default: 1)"
    )
    options = parser.parse_args()
    commit = _git("rev-parse", "--short", f"{options.commit}^{{commit}}")
    other = ROOT / "build" / f"against-{commit}"
    if not other.exists():
        _git("worktree", "add", "--detach", str(other), commit)
    try:
        for tree in (other, ROOT):
            subprocess.run(["make", "setup"], cwd=tree, check=True)
        _compare(other, commit, options.only or USUAL, options.rounds, options.runs)
    finally:
        _git("worktree", "remove", "--force", str(other))
    return 0


def _compare(other: Path, commit: str, only: list[str], rounds: int, runs: int) -> None:
    samples: dict[Path, Samples] = {other: {}, ROOT: {}}
    units: dict[str, str] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} ...", flush=True)
        for tree in (other, ROOT) if number % 2 == 0 else (ROOT, other):
            for figure in _measured(tree, only, runs):
                samples[tree].setdefault(figure["name"], []).append(figure["median"])
                units[figure["name"]] = figure["unit"]
    print(f"{'figure':50}{'unit':12}{commit:>14}{'this tree':>14}  ratio (range over rounds)")
    for name, unit in units.items():
        before, now = samples[other].get(name), samples[ROOT].get(name)
        if before and now and all(before):
            ratios = [b / a for a, b in zip(before, now, strict=False)]
            sense = "less is better" if unit in BETTER_IF_LESS else ""
            print(
                f"{name:50}{unit:12}{median(before):14,.2f}{median(now):14,.2f}"
                f"  {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) {sense}"
            )


def _measured(tree: Path, only: list[str], runs: int) -> list[dict[str, object]]:
    """What one run of the benches in a tree says; its own output is kept only if it fails."""
    found = tree / "build/against.json"
    command = [".venv/bin/python", "-m", "tests.bench", "--runs", str(runs), "--json", str(found)]
    for name in only:
        command += ["--only", name]
    done = subprocess.run(command, cwd=tree, env=_environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"The benches failed in {tree}:\n{done.stdout}{done.stderr}")
    return json.loads(found.read_text())


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
