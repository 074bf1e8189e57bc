from __future__ import annotations

from ipmasq.config import Problem, Report
from ipmasq.config.locations import Path
from ipmasq.config.problems import in_order, key_text


def test_keys_are_shown_as_people_count():
    keys: dict[Path, str] = {
        (): "",
        ("gateway",): "gateway",
        ("gateway", "ports"): "gateway.ports",
        ("gateway", "inside", 1): "gateway.inside 2",
        ("rule", 2): "rule 3",
        ("rule", 2, "from"): "rule 3, from",
        ("rule", 2, "from", 0): "rule 3, from 1",
        ("helper", "ftp", "ports", 0): "helper.ftp.ports 1",
    }
    assert {path: key_text(path) for path in keys} == keys


def test_problems_are_in_the_order_of_the_file_each_once():
    one, two, nowhere = (Problem("f", line, "k", "m") for line in (9, 10, None))
    assert in_order([two, one, nowhere, two]) == (nowhere, one, two)


def test_a_report_is_good_without_errors():
    problem = Problem("f", None, "", "cannot be read")
    assert Report(warnings=(problem,)).is_good
    assert not Report((problem,)).is_good
    assert Report((problem, problem)).text() == (
        "f: error: cannot be read\nf: error: cannot be read\n2 errors, 0 warnings"
    )
