// The network as a picture: inside hosts, the gateway, outside hosts, and the sessions that helpers inspect.
import { html, useState } from "/vendor/preact.js";
import { useView } from "/api.js";
import { Flow, FLOW_COLUMNS, Table } from "/parts.js";
import { endpoint, rate } from "/shown.js";

const MOST = 12, HIGH = 56, WIDE = 900;

export function Network() {
  const [found, error] = useView("helped", {}, 1);
  const [opened, open] = useState(null);
  if (!found) return html`<h1>Network</h1>${error && html`<p class="bad" role="alert">${error}</p>`}`;
  const shown = found.rows.slice(-40);
  const inside = [...new Set(shown.map((row) => row.inside.address))].slice(0, MOST);
  const outside = [...new Set(shown.map((row) => row.remote.address))].slice(0, MOST);
  const height = Math.max(inside.length, outside.length, 2) * HIGH + 60;
  const at = (list, address) => ((list.indexOf(address) + 0.5) * (height - 40)) / list.length + 30;
  const flows = shown.filter((row) => inside.includes(row.inside.address) && outside.includes(row.remote.address));
  const said = flows.map((row) => `${row.master != null ? "data" : "control"} connection of ${row.inside.address} with ${row.remote.address}`).join("; ");
  return html`<h1>Network</h1>
    ${error && html`<p class="bad" role="alert">${error}</p>`}
    <section class="panel"><svg class="network" viewBox=${`0 0 ${WIDE} ${height}`} role="img" aria-label=${flows.length ? said : "No session that a helper inspects"}>
      <defs>${["control", "data"].map((kind) => html`<marker id=${`end-${kind}`} viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path class=${`arrow-${kind}`} d="M0 0L10 5L0 10z" /></marker>`)}</defs>
      <text x="90" y="18" text-anchor="middle">inside</text><text x="810" y="18" text-anchor="middle">outside</text>
      <rect class="box" x="390" y="30" width="120" height=${height - 40} rx="8" /><text x="450" y=${height / 2} text-anchor="middle">gateway</text>
      ${inside.map((host) => html`<g><rect class="box" x="10" y=${at(inside, host) - 16} width="160" height="32" rx="6" /><text x="90" y=${at(inside, host) + 5} text-anchor="middle">${host}</text></g>`)}
      ${outside.map((host) => html`<g><rect class="box" x="730" y=${at(outside, host) - 16} width="160" height="32" rx="6" /><text x="810" y=${at(outside, host) + 5} text-anchor="middle">${host}</text></g>`)}
      ${flows.map((row, number) => {
        const kind = row.master != null ? "data" : "control", shift = ((number % 5) - 2) * 5;
        const left = at(inside, row.inside.address) + shift, right = at(outside, row.remote.address) + shift;
        const middle = (left + right) / 2, arrow = `url(#end-${kind})`;
        const outward = row.opened_by === "inside";
        return html`<g><title>flow ${row.id}, ${kind}: ${endpoint(row.inside)} as ${endpoint(row.public)} with ${endpoint(row.remote)}</title>
          <line class=${kind} x1="172" y1=${left} x2="388" y2=${middle} marker-start=${outward ? undefined : arrow} marker-end=${outward ? arrow : undefined} />
          <line class=${kind} x1="512" y1=${middle} x2="728" y2=${right} marker-start=${outward ? undefined : arrow} marker-end=${outward ? arrow : undefined} />
          ${kind === "data" && html`<text x="280" y=${(left + middle) / 2 - 16} text-anchor="middle">${rate(row.rate_out + row.rate_in)}</text>`}</g>`;
      })}
      ${!flows.length && html`<text x="450" y="24" text-anchor="middle">no session that a helper inspects</text>`}
    </svg><p class="dim">Dashed: control connections. Solid: data connections that a helper expected. An arrow points from the end that opened the connection.</p></section>
    <${Table} caption="Sessions" columns=${FLOW_COLUMNS(open)} rows=${[...shown].reverse()} empty="No helper inspects a flow now." />
    ${opened && html`<${Flow} key=${opened} number=${opened} close=${() => open(null)} />`}`;
}
