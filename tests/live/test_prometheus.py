"""The dashboard and the alert rules of `contrib/`, run by a real Prometheus against a running gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import Network
from tests.live.observed import running, spawn, stop, talk, until
from tests.metrics.test_families import documented
from tests.namespaces import within

pytestmark = pytest.mark.live

CONTRIB = Path(__file__).parents[2] / "contrib"
RULES = CONTRIB / "prometheus" / "ipmasq.rules.yml"
DASHBOARD = CONTRIB / "grafana" / "ipmasq.json"

PROMETHEUS = "127.0.0.1:9090"
CONFIG = """
global: {scrape_interval: 200ms, evaluation_interval: 1s}
rule_files: ["RULES"]
scrape_configs:
  - job_name: ipmasq
    static_configs: [{targets: ["127.0.0.1:9477"]}]
"""

EMPTY = ("Packets dropped by the engine", "Reloads")
"""Panels that show only what has occurred."""

WITHOUT_SAMPLES = {
    "ipmasq_helper_refusals_total",
    "ipmasq_flows_closed_total",
    "ipmasq_fast_path_dropped_packets_total",
    "ipmasq_ha_active",
    "ipmasq_ha_refused_records_total",
    "ipmasq_ha_replication_lag_seconds",
    "ipmasq_ha_store_usable",
}
"""Metrics that may have no sample before something happens, or if the gateway is alone."""


def promtool(*command: str) -> str:
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def prometheus(network: Network, directory: Path) -> Iterator[None]:
    file = directory / "prometheus.yml"
    file.write_text(CONFIG.replace("RULES", str(RULES)))
    command = [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={PROMETHEUS}",
    ]
    with (directory / "prometheus.log").open("w") as log:
        process = spawn(network, "gw", log, *command)
    try:
        yield
    finally:
        stop(process)


ASK = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=20) as answer:
    sys.stdout.write(answer.read().decode())
"""


def ask(network: Network, path: str, **arguments: str) -> Any:
    """Return the data of an answer of Prometheus, or None if it is not ready."""
    address = f"http://{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
    command = within(network.name("gw"), sys.executable, "-c", ASK, address)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)["data"] if done.returncode == 0 else None


def query(network: Network, expression: str) -> list[Any]:
    found = ask(network, "query", query=expression)
    assert found is not None, f"refused: {expression}"
    return list(found["result"])


def queries() -> list[tuple[str, str]]:
    """Every query of the dashboard with its panel, with the variables replaced as Grafana does."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = [
        (panel["title"], target["expr"])
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]
    found += [(each["name"], each["expr"]) for each in board["annotations"]["list"]]
    return [
        (title, expression.replace("$instance", ".*").replace("$__rate_interval", "5s"))
        for title, expression in found
    ]


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics of an expression, and the labels by which it selects or groups them."""
    grouped = {
        label.strip()
        for group in re.findall(r"by \(([^)]*)\)", expression)
        for label in group.split(",")
    }
    for name, matchers in re.findall(
        r"\b((?:ipmasq|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?", expression
    ):
        yield name, {*re.findall(r"(\w+)=?[=~!]", matchers), *grouped}


def test_the_rules_are_right_and_fire_when_they_must_and_only_then():
    assert "SUCCESS" in promtool("check", "rules", str(RULES))
    tests = RULES.with_name("ipmasq.rules.test.yml")
    assert "SUCCESS" in promtool("test", "rules", str(tests))
    alerts = re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8"))
    assert len(set(alerts)) == len(alerts) > 10
    assert set(alerts) == set(re.findall(r'alertname="(\w+)"', tests.read_text(encoding="utf-8")))


def test_every_query_of_the_dashboard_and_of_the_rules_finds_what_a_gateway_measures(
    network: Network, tmp_path: Path
):
    more = '[metrics]\nlisten = "127.0.0.1:9477"\n'
    more += f'[translation_log]\nfile = "{tmp_path}/translations.json"\n'
    with running(network, tmp_path, more, "ebpf-tc"), prometheus(network, tmp_path):
        talk(network, 4000, datagrams=50)
        until(lambda: ask(network, "query", query="up"), "Prometheus")
        until(lambda: query(network, "ipmasq_flows_opened_total > 0"), "a scrape")
        until(lambda: query(network, "rate(ipmasq_flows[3s])"), "several scrapes")
        known = known_labels(network)
        for title, expression in queries():
            names_only(known, expression)
            if title not in EMPTY and not WITHOUT_SAMPLES & dict(selectors(expression)).keys():
                until(partial(finds, network, expression), f"{title}: {expression} finds something")
            else:
                query(network, expression)
        until(lambda: {rule["health"] for rule in rules(network)} == {"ok"}, "all rules")
        assert [rule["name"] for rule in rules(network) if rule["state"] == "firing"] == []
        for rule in rules(network):
            names_only(known, rule["query"])


def finds(network: Network, expression: str) -> bool:
    """Whether a query finds something. Otherwise there is new traffic: rates are of the last seconds alone."""
    if query(network, expression):
        return True
    talk(network, 4001, datagrams=50)
    return False


def names_only(known: dict[str, set[str]], expression: str) -> None:
    """Assert that the metrics and labels of an expression exist."""
    for name, labels in selectors(expression):
        assert name in known, expression
        assert labels <= known[name], expression


def rules(network: Network) -> list[dict[str, str]]:
    return list(ask(network, "rules")["groups"][0]["rules"])


def known_labels(network: Network) -> dict[str, set[str]]:
    """The labels of each metric: of those that have a sample now, and those of the others as documented."""
    found = {name: {*documented()[name][1], "instance", "job"} for name in WITHOUT_SAMPLES}
    for series in query(network, '{job="ipmasq"}'):
        labels = series["metric"]
        found.setdefault(labels["__name__"], set()).update(labels)
    return found
