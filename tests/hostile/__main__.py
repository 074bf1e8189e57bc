"""`python -m tests.hostile`: attacks on a gateway, as a table. Needs root."""

from __future__ import annotations

import argparse
import os
import sys

from tests.hostile.network import PLANES
from tests.hostile.runner import all_of, load
from tests.hostile.verdict import NoVerdictError


def main() -> int:
    attacks = load()
    options = _options()
    if options.list:
        for attack in attacks.values():
            print(f"{attack.name:28} {attack.about} [{attack.reference}]")
        return 0
    unknown = [name for name in options.names if name not in attacks]
    if unknown:
        print(f"There is no attack {unknown[0]!r}; --list shows all.", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("This makes network namespaces and needs root.", file=sys.stderr)
        return 2
    planes = PLANES if options.plane == "all" else (options.plane,)
    chosen = [attack for name, attack in attacks.items() if name in (options.names or attacks)]
    print(f"{'attack':28} {'plane':9} {'':10} what was seen", flush=True)
    broken = 0
    for attack, plane, verdict in all_of(planes, chosen):
        if isinstance(verdict, NoVerdictError):
            word, said, held = "no verdict", str(verdict), False
        else:
            word, said, held = "held" if verdict.held else "BROKEN", verdict.sentence, verdict.held
        broken += not held
        print(f"{attack.name:28} {plane:9} {word:10} {said}", flush=True)
    print(f"{broken} not held" if broken else "all held")
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--plane", choices=[*PLANES, "all"], default="all")
    parser.add_argument("--list", action="store_true", help="show the attacks and end")
    parser.add_argument("names", nargs="*", metavar="NAME", help="attacks; all if none is given")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
