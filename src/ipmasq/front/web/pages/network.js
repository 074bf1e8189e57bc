// The network as a picture: inside hosts, the gateway, outside hosts, and the sessions that helpers inspect.
import { html, useEffect, useState } from "/preact.js";
import { useView } from "/api.js";
import { FLOW_COLUMNS, Table, useFlow } from "/parts.js";
import { endpoint, rate } from "/shown.js";

const MOST = 24, TOP = 30, ROW = 56, LANE = 12;
// Widths of the picture, of a host and of the gateway: on a desk, and where there is no room.
const WIDE = { all: 900, host: 160, gateway: 120 }, NARROW = { all: 370, host: 112, gateway: 62 };

// States of connections that have ended, and whose entries wait for late packets.
const OVER = ["TIME_WAIT", "CLOSE"];

const room = (count) => Math.max(ROW, count * LANE + 24);
const compare = (one, other) => one.localeCompare(other, "en", { numeric: true });

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// The connections by the host at one end, each host's in the order in which they are given.
function byHost(rows, end) {
  const found = new Map();
  for (const row of rows) {
    const host = row[end].address;
    if (!found.has(host)) found.set(host, []);
    found.get(host).push(row.id);
  }
  return found;
}

const needed = (hosts) => [...hosts.values()].reduce((sum, ids) => sum + room(ids.length), 0);

// The boxes of these hosts one below the other, and the heights at which each connection ends there.
function stacked(hosts, height) {
  const spare = (height - needed(hosts)) / Math.max(1, hosts.size), boxes = [], ends = new Map();
  let top = TOP;
  for (const [host, ids] of hosts) {
    const middle = top + (room(ids.length) + spare) / 2;
    boxes.push({ host, middle, high: Math.max(32, ids.length * LANE + 8) });
    ids.forEach((id, number) => ends.set(id, middle + (number - (ids.length - 1) / 2) * LANE));
    top += room(ids.length) + spare;
  }
  return { boxes, ends };
}

function drawn(rows) {
  // A data connection is drawn beside its control connection.
  const ordered = [...rows].sort((one, other) => (one.master ?? one.id) - (other.master ?? other.id) || one.id - other.id);
  const inside = new Map([...byHost(ordered, "inside")].sort(([one], [other]) => compare(one, other)));
  const unordered = byHost(ordered, "remote");
  const height = Math.max(needed(inside), needed(unordered), ordered.length * LANE + 40, 2 * ROW);
  const left = stacked(inside, height), from = (ids) => mean(ids.map((id) => left.ends.get(id)));
  // An outside host is about as high as the inside hosts that it talks with, so that few lines cross.
  const outside = new Map([...unordered].sort(([one, its], [other, others]) => from(its) - from(others) || compare(one, other)));
  const right = stacked(outside, height);
  const level = (row) => left.ends.get(row.id) + right.ends.get(row.id);
  const across = [...ordered].sort((one, other) => level(one) - level(other));
  const step = Math.min(LANE * 2, (height - 20) / Math.max(1, across.length));
  const lines = across.map((row, number) => {
    // The line is level where there is room for that, as at the gateway no two lines meet.
    const even = across.length * LANE <= height && across.every((each, at) => at === 0 || level(each) - level(across[at - 1]) >= LANE);
    const middle = even ? level(row) / 2 : TOP + height / 2 + (number - (across.length - 1) / 2) * step;
    return { row, left: left.ends.get(row.id), middle, right: right.ends.get(row.id) };
  });
  return { height: height + TOP + 10, inside: left.boxes, outside: right.boxes, lines };
}

function useNarrow() {
  const query = matchMedia("(max-width: 40rem)");
  const [narrow, set] = useState(query.matches);
  useEffect(() => {
    const changed = () => set(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, []);
  return narrow;
}

const kindOf = (row) => (row.master != null ? "data" : "control");

// Whoever did not open a data connection has announced where it accepts it.
const announcer = (row) => (row.master == null ? "" : row.opened_by === "inside" ? "outside" : "inside");
const part = (row) => (row.master == null ? "control" : `data of ${row.master}`);
const session = (row) => row.master ?? row.id;

function Line({ row, left, middle, right, size, open }) {
  const kind = kindOf(row), arrow = `url(#end-${kind})`, outward = row.opened_by === "inside";
  const start = outward ? undefined : arrow, end = outward ? arrow : undefined;
  const near = (size.all - size.gateway) / 2, far = size.all - near;
  const ends = [{ x1: size.host + 4, y1: left, x2: near - 2, y2: middle }, { x1: far + 2, y1: middle, x2: size.all - size.host - 4, y2: right }];
  return html`<g class="line" onClick=${() => open(row.id)}><title>flow ${row.id}, ${part(row)}: ${endpoint(row.inside)} as ${endpoint(row.public)} with ${endpoint(row.remote)}</title>
    ${ends.map((each) => html`<line class="near" ...${each} /><line class=${kind} ...${each} marker-start=${start} marker-end=${end} />`)}
    ${kind === "data" && html`<text class="rate" x=${size.all / 2} y=${middle + 4} text-anchor="middle">${rate(row.rate_out + row.rate_in)}</text>`}</g>`;
}

function Host({ host, middle, high, at, width }) {
  return html`<g><rect class="box" x=${at} y=${middle - high / 2} width=${width} height=${high} rx="6" /><text x=${at + width / 2} y=${middle + 5} text-anchor="middle">${host}</text></g>`;
}

function Picture({ rows, open }) {
  const size = useNarrow() ? NARROW : WIDE;
  const { height, inside, outside, lines } = drawn(rows);
  const said = rows.map((row) => `${kindOf(row)} connection of ${row.inside.address} with ${row.remote.address}`).join("; ");
  const end = size.all - size.host - 1, near = (size.all - size.gateway) / 2;
  return html`<svg class="network" viewBox=${`0 0 ${size.all} ${height}`} role="img" aria-label=${said || "No session that a helper inspects"}>
    <defs>${["control", "data"].map((kind) => html`<marker id=${`end-${kind}`} viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path class=${`arrow-${kind}`} d="M0 0L10 5L0 10z" /></marker>`)}</defs>
    <text class="side" x=${size.host / 2} y="18" text-anchor="middle">inside</text><text class="side" x=${size.all / 2} y="18" text-anchor="middle">gateway</text><text class="side" x=${size.all - size.host / 2} y="18" text-anchor="middle">outside</text>
    <rect class="box" x=${near} y=${TOP} width=${size.gateway} height=${height - TOP - 10} rx="8" />
    ${inside.map((box) => html`<${Host} key=${box.host} ...${box} at=${1} width=${size.host} />`)}
    ${outside.map((box) => html`<${Host} key=${box.host} ...${box} at=${end} width=${size.host} />`)}
    ${lines.map((line) => html`<${Line} key=${line.row.id} ...${line} size=${size} open=${open} />`)}
  </svg>`;
}

export function Network() {
  const [found, error] = useView("helped", {}, 1);
  const [open, opened] = useFlow();
  const live = (found?.rows ?? []).filter((row) => !OVER.includes(row.state));
  const shown = live.slice(-MOST), more = live.length - shown.length;
  const [number, ...others] = FLOW_COLUMNS(open).filter(([title]) => title !== "age"), columns = [number, ["part", part, "word"], ["announced by", announcer, "word"], ...others];
  return html`<h1>Network</h1>
    ${opened}${error && html`<p class="bad" role="alert">${error}</p>`}
    ${found && html`<section class="panel"><${Picture} rows=${shown} open=${open} />
      <p class="dim">${shown.length ? "Dashed: control connections. Solid: data connections that a helper expected, with their rates. An arrow points from the end that opened the connection. The other end of a data connection has announced it: an inside end with the public address, which the helper wrote; an outside end with its own." : "No helper inspects a session now. An FTP session appears here when it begins."}
        ${more > 0 && ` The latest ${shown.length} connections are drawn, of ${shown.length + more}.`}</p></section>
      <${Table} caption="Sessions" columns=${columns} rows=${[...shown].sort((one, other) => session(other) - session(one) || one.id - other.id)} empty="" />`}`;
}
