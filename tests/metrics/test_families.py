"""What the metrics say, compared with what the engine knows; and that all of them are documented."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from ipmasq.core.helper import Helper, HelperContext
from ipmasq.core.policy import HelperUse
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.gateway.latency import BOUNDS
from ipmasq.metrics.families import families
from ipmasq.metrics.source import Source
from ipmasq.wire.addresses import to_address
from tests.conformance import packets
from tests.control.running import IN1, IN2, OUT1
from tests.metrics.running import OPENMETRICS, Running, running

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
E1, FORBIDDEN = map(to_address, ("203.0.113.1", "198.51.100.99"))


class Greeting(Helper):
    name, ports, orthogonal = "greeting", (79,), True

    def on_line(self, line: bytes, context: HelperContext) -> None:
        if not line.startswith(b"hello"):
            context.refuse("not a greeting")


GREETING = HelperUse("greeting", Greeting, 6, frozenset((79,)), True)


def say(gateway: Running, *lines: bytes) -> None:
    """A TCP connection of IN1 to OUT1 in which the client says these lines."""
    out, back = (IN1, 4000, OUT1, 79), packets.SYN | packets.ACK
    gateway.send(packets.tcp(*out, packets.SYN, 100))
    (flow,) = gateway.gateway.engine.flows()
    gateway.send(packets.tcp(OUT1, 79, E1, flow.public.port, back, 500, 101), Side.OUTSIDE)
    gateway.send(packets.tcp(*out, packets.ACK, 101, 501))
    at = 101
    for line in lines:
        gateway.send(packets.tcp(*out, packets.ACK, at, 501, line))
        at += len(line)


def test_flows_packets_and_ports_are_those_of_the_engine(tmp_path: Path):
    with running(tmp_path) as gateway:
        for port in range(5000, 5012):
            gateway.send(packets.udp(IN1, port, OUT1, 53))
        gateway.send(packets.udp(IN2, 5000, OUT1, 53))
        gateway.send(packets.udp(IN1, 5000, FORBIDDEN, 53))
        engine = gateway.gateway.engine
        gateway.gateway.close(next(iter(engine.table.flows)))
        gateway.round()
        found = gateway.values()
        assert found["ipmasq_flows", ()] == len(engine.table.flows) == 12
        assert found["ipmasq_hosts", ()] == 2
        assert found["ipmasq_flows_opened_total", ("masquerade",)] == 13
        assert found["ipmasq_flows_closed_total", ("operator",)] == 1
        assert found["ipmasq_public_ports_used", ("203.0.113.1", "udp")] == 12
        assert found["ipmasq_public_ports_free", ("203.0.113.1", "udp")] == 88
        assert found["ipmasq_public_ports_free", ("203.0.113.1", "tcp")] == 100
        assert found["ipmasq_dropped_packets_total", ("rule_drop",)] == 1
        for reason in Reason:
            name = "dropped_packets" if reason.is_drop else "packets"
            if reason < Reason.IDLE:
                sample = f"ipmasq_{name}_total", (reason.name.lower(),)
                assert found[sample] == engine.counts[reason]


def test_a_host_near_a_limit_is_counted(tmp_path: Path):
    with running(tmp_path, "[limits]\nports_per_host = 20\n") as gateway:
        for port in range(5000, 5016):
            gateway.send(packets.udp(IN1, port, OUT1, 53))
        assert gateway.values()["ipmasq_hosts_near_limit", ("ports_per_host", "udp")] == 1


def test_a_helper_is_counted_and_timed_also_if_it_was_loaded_later(tmp_path: Path):
    with running(tmp_path) as gateway:
        engine = gateway.gateway.engine
        engine.load_helper(GREETING, gateway.loop.clock())
        gateway.round()
        say(gateway, b"hello\r\n", b"good day\r\n", b"hello\r\n")
        found = gateway.values()
        (view,) = (each for each in engine.helpers() if each.name == "greeting")
        assert found["ipmasq_helper_lines_total", ("greeting",)] == view.inspected == 3
        assert found["ipmasq_helper_flows", ("greeting",)] == 1
        assert found["ipmasq_helper_refusals_total", ("greeting", "not a greeting")] == 1
        assert found["ipmasq_helper_line_seconds_count", ("greeting",)] == 3
        assert found["ipmasq_helper_line_seconds_sum", ("greeting",)] > 0


def test_buckets_of_a_histogram_are_cumulative_and_the_last_one_has_all(tmp_path: Path):
    with running(tmp_path) as gateway:
        histogram = gateway.gateway.latency.engine
        for bound in BOUNDS:
            histogram.add(bound)
        histogram.add(1.0)
        found = gateway.values()
        name = "ipmasq_engine_packet_seconds"
        counts = [found[f"{name}_bucket", (str(bound),)] for bound in BOUNDS]
        assert counts == list(range(1, len(BOUNDS) + 1))
        assert found[f"{name}_bucket", ("+Inf",)] == found[f"{name}_count", ()] == len(BOUNDS) + 1


def test_reloads_are_counted_and_a_refused_one_is_shown_until_one_is_applied(tmp_path: Path):
    with running(tmp_path) as gateway:
        right = gateway.config.read_text()
        gateway.config.write_text("nonsense")
        gateway.gateway._reload_on_signal()
        assert gateway.values()["ipmasq_config_last_reload_successful", ()] == 0
        assert gateway.gateway.reloads.refused == 1
        gateway.config.write_text(right)


def test_both_formats_have_the_same_samples(tmp_path: Path):
    with running(tmp_path) as gateway:
        gateway.send(packets.udp(IN1, 5000, OUT1, 53))
        gateway.round()
        head, older = gateway.ask()
        assert b"text/plain; version=0.0.4" in head
        head, newer = gateway.ask(OPENMETRICS)
        assert b"application/openmetrics-text" in head
        names = [
            {sample.name for family in parse(text.decode()) for sample in family.samples}
            for parse, text in ((text_string_to_metric_families, older), (openmetrics, newer))
        ]
        assert names[0] == names[1]
        assert newer.count(b"# EOF") == 1


def test_reasons_of_refusals_beyond_a_number_are_one(tmp_path: Path):
    with running(tmp_path) as gateway:
        refused = gateway.gateway.engine.manager.registered["ftp"].refused
        refused.update({f"reason {number}": 100 - number for number in range(40)})
        found = gateway.values()
        assert found["ipmasq_helper_refusals_total", ("ftp", "reason 0")] == 100
        shown = [key for key in found if key[0] == "ipmasq_helper_refusals_total"]
        assert len(shown) == 33
        assert found["ipmasq_helper_refusals_total", ("ftp", "other")] == sum(range(61, 69))


def test_of_many_public_addresses_the_fullest_have_samples(tmp_path: Path):
    with running(tmp_path) as gateway:
        gateway.config.write_text(gateway.config.read_text().replace("113.1", "113.0/25"))
        setup = gateway.gateway._configuration.read()
        engine = gateway.gateway.engine
        engine.apply(setup.policy, gateway.loop.clock())
        for host in range(40):
            gateway.send(packets.udp(to_address(f"10.0.1.{host}"), 5000, OUT1, 53))
        found = gateway.values()
        shown = [key[1][0] for key in found if key[0] == "ipmasq_public_ports_used"]
        assert len(set(shown)) == 64
        assert found["ipmasq_public_addresses", ()] == 128
        used = {pool.address for pool in engine.table.mappings.usage()}
        assert len(used) < 64
        assert used <= set(map(to_address, shown))


def test_many_hosts_are_counted_in_many_steps(tmp_path: Path):
    with running(tmp_path) as gateway:
        table = gateway.gateway.engine.table
        table.hosts.update({number.to_bytes(4, "big"): 1 for number in range(10_000)})
        steps = list(families(Source(gateway.gateway)))
        assert steps.count(None) >= 10_000 // 256
        table.hosts.clear()


def documented() -> dict[str, tuple[str, list[str]]]:
    """Kind and labels by name."""
    cells = (
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    )
    return {
        name.strip("`"): (kind, sorted(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, *_ in cells
    }


def test_every_metric_is_documented_with_its_kind_and_labels_and_nothing_else_is(tmp_path: Path):
    with running(tmp_path) as gateway:
        actual = {}
        for family in filter(None, families(gateway.metrics._source)):
            ending = {"counter": "_total", "info": "_info"}.get(family.type, "")
            kind = "gauge" if family.type == "info" else family.type
            known = getattr(family, "_labelnames", ())
            given = known or (family.samples[0].labels if family.samples else ())
            labels = sorted(set(given) - {"le"})
            actual[family.name + ending] = kind, labels
        assert documented() == actual


def test_every_metric_is_explained():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
    assert rows
    assert all(len(line.split("|")[4].strip()) > 10 for line in rows)
