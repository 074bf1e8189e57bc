"""Fuzz all targets, one after the other, and print what came of it; see README.md.

python -m fuzz --minutes N [--keep] [TARGET...]

Exit code 1 if a law was broken; what breaks it is in build/fuzz/TARGET/finding-* and crash-*.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fuzz.one import BUILD
from fuzz.targets import NAMES

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
HISTORY = BUILD / "history.tsv"
"""Target, executions and seconds of every run here."""
SLOWEST = 20
"""Seconds after which one input counts as a hang."""


@dataclass
class Result:
    name: str
    executions: int = 0
    seconds: int = 0
    edges: int = 0
    features: int = 0
    lines: int = 0
    lines_there: int = 0
    findings: int = 0
    failure: str = ""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of all targets together")
    parser.add_argument("--keep", action="store_true", help="put the best inputs into fuzz/corpus")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    given = parser.parse_args(arguments)
    names = given.targets or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join(NAMES)}")
    seconds = max(1, int(given.minutes * 60 / len(names)))
    results = []
    for name in names:
        results.append(fuzz(name, seconds))
        print(row(results[-1]), flush=True)
        if given.keep:
            subprocess.run([sys.executable, "-m", "fuzz.keep", name], cwd=HERE.parent, check=True)
    print("\n" + table(results))
    return 1 if any(result.findings or result.failure for result in results) else 0


def fuzz(name: str, seconds: int) -> Result:
    """One target for so long, from the corpus in the repository and that of earlier runs."""
    corpus, log = BUILD / name / "corpus", BUILD / name / "log"
    corpus.mkdir(parents=True, exist_ok=True)
    for old in (*corpus.parent.glob("finding-*"), *corpus.parent.glob("crash-*")):
        old.unlink()
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={SLOWEST}",
        f"-artifact_prefix={corpus.parent}/crash-",
        "-rss_limit_mb=2000",
        "-len_control=0",
        "-print_final_stats=1",
    ]
    directories = [str(corpus), str(CORPUS / name)]
    command = [sys.executable, "-m", "fuzz.one", name, *options, *directories]
    with log.open("wb") as file:
        ended = subprocess.run(command, cwd=HERE.parent, stderr=file, stdout=file, check=False)
    result = read_log(name, log.read_text(errors="replace"))
    if ended.returncode:
        result.failure = f"ended with {ended.returncode}, see {log}"
    found = [*corpus.parent.glob("finding-*.txt"), *corpus.parent.glob("crash-*")]
    result.findings = len(found)
    result.lines, result.lines_there = lines(name, corpus)
    with HISTORY.open("a") as history:
        print(name, result.executions, result.seconds, sep="\t", file=history)
    return result


def read_log(name: str, text: str) -> Result:
    """What libFuzzer says at the end: runs, seconds, edges and features."""
    result = Result(name)
    if done := re.search(r"^Done (\d+) runs in (\d+) second", text, re.M):
        result.executions, result.seconds = int(done[1]), int(done[2])
    for found in re.finditer(r"cov: (\d+) ft: (\d+)", text):
        result.edges, result.features = int(found[1]), int(found[2])
    return result


def lines(name: str, corpus: Path) -> tuple[int, int]:
    command = [sys.executable, "-m", "fuzz.lines", name, str(corpus)]
    out = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=True)
    run, there = map(int, out.stdout.split()[-2:])
    return run, there


def row(result: Result) -> str:
    rate = result.executions // max(1, result.seconds)
    share = 100 * result.lines // max(1, result.lines_there)
    return (
        f"| {result.name} | {result.executions:,} | {result.seconds} s | {rate:,} | {result.edges:,} "
        f"| {result.lines}/{result.lines_there} ({share} %) | {result.findings} | {result.failure}"
    ).rstrip(" |") + " |"


def table(results: list[Result]) -> str:
    head = "| target | executions | time | a second | edges | lines | findings |\n|---|---|---|---|---|---|---|\n"
    total = sum(result.executions for result in results)
    before = [int(line.split("\t")[1]) for line in HISTORY.read_text().splitlines()]
    rows = "\n".join(map(row, results))
    return (
        f"{head}{rows}\n\n{total:,} executions; {sum(before):,} with earlier runs here ({HISTORY})"
    )


if __name__ == "__main__":
    os.chdir(HERE.parent)
    sys.exit(main(sys.argv[1:]))
