"""`python -m tests.walkthrough PAGE...` (root): goes through pages, and writes what is shown into them where it is not as they
say, and into the README, whose sessions are those of the pages. Exit code 1 if a command failed."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.walkthrough.page import copied, with_shown
from tests.walkthrough.session import README, go_through, pages


def main(paths: list[Path]) -> int:
    failed = 0
    for path in paths:
        text = path.read_text(encoding="utf-8")
        outcomes = list(go_through(text))
        for outcome in outcomes:
            if not outcome.is_as_said:
                print(f"{path}, {outcome}\n")
            failed += outcome.code != 0
        changed = {
            each.step: each.shown for each in outcomes if each.step.shown and not each.is_as_said
        }
        path.write_text(with_shown(text, changed), encoding="utf-8")
    _copy_to_readme()
    return int(failed > 0)


def _copy_to_readme() -> None:
    text = README.read_text(encoding="utf-8")
    shown = copied(text, (page.read_text(encoding="utf-8") for page in pages()))
    README.write_text(with_shown(text, shown), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main([Path(each) for each in sys.argv[1:]] or pages()))
