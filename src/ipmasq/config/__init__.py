"""One TOML file -> a checked model -> the policy. Every mistake at once, with its line.

loaded, here = load("gateway.toml"), read_host_state()
report = review(loaded, here)                 # what is wrong, or probably wrong, on this machine
policy = compile(loaded, here)                # what the engine decides by; again when addresses change
sides = resolve(loaded.config.gateway, here)  # interfaces for a plane
"""

from ipmasq.config.added import about_forward, consequences
from ipmasq.config.checking import check, review
from ipmasq.config.compiled import compile
from ipmasq.config.host_checks import UNREACHED
from ipmasq.config.host_state import HostAddress, HostState, read_host_state
from ipmasq.config.loading import Loaded, load
from ipmasq.config.mistakes import misfit
from ipmasq.config.model import Config
from ipmasq.config.problems import ConfigError, Problem, Report
from ipmasq.config.restated import restate
from ipmasq.config.sides import Sides, resolve
from ipmasq.config.values import duration_text
from ipmasq.config.warnings import short_times

__all__ = [
    "UNREACHED",
    "Config",
    "ConfigError",
    "HostAddress",
    "HostState",
    "Loaded",
    "Problem",
    "Report",
    "Sides",
    "about_forward",
    "check",
    "compile",
    "consequences",
    "duration_text",
    "load",
    "misfit",
    "read_host_state",
    "resolve",
    "restate",
    "review",
    "short_times",
]
