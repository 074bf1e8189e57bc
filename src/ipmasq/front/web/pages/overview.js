import { html, useEffect, useRef } from "/preact.js";
import { useLive } from "/live.js";
import { Events, Table } from "/parts.js";
import { clock, rate, scaled } from "/shown.js";

const DROPS = [["reason", (row) => row.name], ["last minute", (row) => row.recent, "number"], ["since the start", (row) => row.count, "number"]];

// Steps between two lines of a plot: whole numbers, as nothing here has parts.
const STEPS = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

// Seconds without a summary after which a line is broken.
const GAP = 5;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// `series`: [label, colour, value(row, previous, seconds)]. Values of two summaries are divided by the time between.
function Plot({ title, rows, series, text }) {
  const place = useRef(null), plot = useRef(null);
  const times = [], values = series.map(() => []);
  for (let at = 1; at < rows.length; at += 1) {
    const seconds = rows[at].time - rows[at - 1].time;
    if (seconds > GAP) { // nobody knows what was between
      times.push(rows[at - 1].time + 1);
      values.forEach((each) => each.push(null));
      continue;
    }
    times.push(rows[at].time);
    series.forEach(([, , value], number) => values[number].push(value(rows[at], rows[at - 1], seconds)));
  }
  const now = series.map(([label], number) => `${label} ${text(values[number].at(-1) ?? 0)}`).join(", ");
  useEffect(() => {
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, font: "12px sans-serif" };
    const day = { ...axis, values: (_, ticks) => ticks.map((tick) => clock(tick)), space: 80, size: 30 };
    const options = {
      width: place.current.clientWidth, height: 150, cursor: { show: false }, legend: { show: false }, padding: [8, 28, 0, 0],
      scales: { y: { range: (_, low, high) => [0, Math.max(high, 1)] } },
      axes: [day, { ...axis, size: 70, incrs: STEPS, values: (_, ticks) => ticks.map((tick) => text(tick)) }],
      series: [{}, ...series.map(([label, stroke]) => ({ label, stroke: colour(stroke), width: 2, points: { show: false } }))],
    };
    plot.current = new uPlot(options, [times, ...values], place.current);
    const resized = new ResizeObserver(() => plot.current.setSize({ width: place.current.clientWidth, height: 150 }));
    resized.observe(place.current);
    return () => { resized.disconnect(); plot.current.destroy(); };
  }, []);
  useEffect(() => { plot.current?.setData([times, ...values]); }, [rows.at(-1)?.time]);
  return html`<section class="panel"><h2>${title}</h2><p class="dim">${series.map(([label, stroke], number) => html`<span><svg width="12" height="12" aria-hidden="true"><rect width="12" height="4" y="4" fill=${`var(${stroke})`} /></svg> ${label}: ${text(values[number].at(-1) ?? 0)} </span>`)}</p>
    <div ref=${place} role="img" aria-label=${`${title} of the last ten minutes; now ${now}`}></div></section>`;
}

const per = (value) => (row, before, seconds) => (seconds > 0 ? Math.max(0, value(row) - value(before)) / seconds : 0);
const dropped = (row) => Object.values(row.dropped).reduce((sum, count) => sum + count, 0);

export function Overview() {
  const { summaries, gateway } = useLive();
  const last = summaries.at(-1);
  if (!last) return html`<p>${gateway.text || "Waiting for the gateway."}</p>`;
  const earlier = summaries.at(-61) ?? summaries[0];
  const drops = Object.entries(last.dropped).map(([reason, count]) => [reason, count, count - (earlier.dropped[reason] ?? 0)]).sort((a, b) => b[2] - a[2] || b[1] - a[1]);
  const total = last.packets_engine + last.packets_fast_path;
  const cards = [
    ["Flows", last.flows.toLocaleString("en"), `of ${last.max_flows.toLocaleString("en")}${last.flows_over ? `, ${last.flows_over.toLocaleString("en")} over` : ""}`],
    ["Hosts", last.hosts.toLocaleString("en"), "inside, with flows that are not over"],
    ["To the outside", rate(last.rate_out), ""],
    ["To the inside", rate(last.rate_in), ""],
    ["Public ports", (last.ports.tcp + last.ports.udp).toLocaleString("en"), `TCP ${last.ports.tcp}, UDP ${last.ports.udp}`],
    ["Expectations", last.expectations.toLocaleString("en"), "flows that helpers expect"],
    ["By the kernel", total ? `${Math.round((100 * last.packets_fast_path) / total)} %` : "0 %", "of the packets; the engine had the rest"],
  ];
  return html`<h1>Overview</h1>
    ${last.obstructions > 0 && html`<p class="panel bad" role="alert">The host's firewall obstructs the gateway: connections may hang. <a href="#health">Health</a> says what puts it right.</p>`}
    <dl class="cards">${cards.map(([name, value, more]) => html`<div class="card"><dt>${name}</dt><dd>${value}<small>${more}</small></dd></div>`)}</dl>
    <div class="plots">
      <${Plot} title="Bytes per second" rows=${summaries} text=${rate} series=${[["to the outside", "--out", (row) => row.rate_out], ["to the inside", "--in", (row) => row.rate_in]]} />
      <${Plot} title="Packets per second" rows=${summaries} text=${scaled} series=${[["kernel", "--out", per((row) => row.packets_fast_path)], ["engine", "--in", per((row) => row.packets_engine)]]} />
      <${Plot} title="New flows per second" rows=${summaries} text=${scaled} series=${[["opened", "--out", per((row) => row.flows_opened)]]} />
      <${Plot} title="Drops per second" rows=${summaries} text=${scaled} series=${[["dropped", "--bad", per(dropped)]]} />
      <${Plot} title="Public ports in use" rows=${summaries} text=${scaled} series=${[["TCP", "--out", (row) => row.ports.tcp], ["UDP", "--in", (row) => row.ports.udp]]} />
      <section class="panel"><h2>Drops by reason</h2><${Table} caption="Dropped packets" columns=${DROPS} rows=${drops.map(([name, count, recent]) => ({ name, count, recent }))} empty="Nothing was dropped." /></section>
    </div>
    <section class="panel"><h2>Latest events</h2><${Events} most=${12} empty="No event yet." /></section>`;
}
