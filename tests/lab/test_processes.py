"""Processes of a lab."""

from __future__ import annotations

import os
import subprocess

from ipmasq.lab import processes


def test_a_process_that_another_one_has_started_is_not_one_of_the_first():
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert processes.first_of([child.pid, os.getpid()]) == [os.getpid()]
            assert processes.first_of([child.pid]) == [child.pid]
        finally:
            child.kill()
