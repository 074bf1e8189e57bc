// Parts that several pages use: a table, the list of events, one flow.
import { html, useEffect, useRef, useState } from "/preact.js";
import { change, useView } from "/api.js";
import { useLive } from "/live.js";
import { settings } from "/settings.js";
import { clock, duration, endpoint, rate, size, visible } from "/shown.js";

// `columns`: [title, cell(row), kind, key]. A column with a key can be sorted by.
export function Table({ caption, columns, rows, by, sort, again, empty }) {
  const renew = again && html` <button type="button" onClick=${again}>Ask again</button>`;
  if (!rows.length) return html`<p>${empty}${renew}</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}><table>
    <caption>${caption}${renew}</caption>
    <thead><tr>${columns.map(([title, , kind, key]) => html`<th scope="col" class=${kind} aria-sort=${key && key === by ? "descending" : undefined}>
      ${key && sort ? html`<button type="button" onClick=${() => sort(key)}>${title}</button>` : title}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.id ?? row.name ?? row.host}>${columns.map(([, cell, kind]) => html`<td class=${kind}>${cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

export function Event({ row }) {
  return html`<li><time>${row.time ? clock(row.time) : ""}</time>
    ${row.event === "rewritten"
      ? html`<span>flow ${row.flow}: helper ${row.helper} rewrote what the ${row.speaker} said</span>
        <p class="said before"><span class="dim">before </span>${visible(row.before)}</p><p class="said after"><span class="dim">after  </span>${visible(row.after)}</p>`
      : html`<span class=${["refused", "expectation_missed", "helper_failed", "packet_failed", "limit_reached", "gateway_lost"].includes(row.event) ? "bad" : ""}>${row.flow != null && !row.text.includes(`flow ${row.flow}`) ? `flow ${row.flow}: ` : ""}${visible(row.text)}</span>`}
  </li>`;
}

export function Events({ wanted = () => true, most = 50, empty }) {
  const found = useLive().events.filter(wanted).slice(-most).reverse();
  return found.length ? html`<ul class="events">${found.map((row) => html`<${Event} row=${row} />`)}</ul>` : html`<p>${empty}</p>`;
}

// On a telephone the port may be on a line of its own, and columns that are `spare` are not shown: an opened flow has all.
const End = ({ end }) => endpoint(end).split(/(?=:\d+$)/).map((each, at) => html`${at ? html`<wbr />` : null}${each}`);

export const FLOW_COLUMNS = (open) => [
  ["flow", (row) => html`<button type="button" aria-label=${`open flow ${row.id}`} onClick=${() => open(row.id)}>${row.id}</button>`, "number"],
  ["protocol", (row) => row.protocol, "spare"],
  ["inside", (row) => html`<${End} end=${row.inside} />`],
  ["public", (row) => endpoint(row.public), "spare"],
  ["remote", (row) => html`<${End} end=${row.remote} />`],
  ["state", (row) => row.state, "spare"],
  ["helper", (row) => row.helper ?? (row.encrypted ? "encrypted" : ""), "spare"],
  ["out", (row) => rate(row.rate_out), "number", "rate"],
  ["in", (row) => rate(row.rate_in), "number", "rate"],
  ["bytes", (row) => size(row.bytes_out + row.bytes_in), "number", "bytes"],
  ["age", (row) => duration(row.age), "number spare"],
];

export function Flow({ number, close }) {
  const dialog = useRef(null);
  const title = useRef(null);
  const [shown, show] = useState(number);
  const [sure, setSure] = useState(false);
  const [failure, setFailure] = useState("");
  const [found, error] = useView("flow", { flow: shown }, 2);
  const [why] = useView("explain", { flow: shown }, 0);
  useEffect(() => { dialog.current.showModal(); }, []);
  const end = async () => {
    try { await change("close", { flow: shown }); dialog.current.close(); } catch (problem) { setFailure(problem.message); }
  };
  const follow = (flow) => { show(flow); setSure(false); title.current.focus(); };
  const [row, ...linked] = found?.rows ?? [];
  const told = why?.rows[0];
  return html`<dialog ref=${dialog} aria-labelledby="flow-title" onClose=${close}>
    <h2 id="flow-title" tabindex="-1" ref=${title}>Flow ${shown}</h2>
    ${error && html`<p class="bad" role="alert">${error}</p>`}
    ${row && html`<dl class="facts">
      <dt>Ends</dt><dd>${endpoint(row.inside)} as ${endpoint(row.public)}, with ${endpoint(row.remote)} (${row.protocol})</dd>
      <dt>State</dt><dd>${row.state}, since ${duration(row.age)}, expires: ${duration(row.expires_in)}</dd>
      <dt>Let in by</dt><dd>${visible(row.origin)}</dd>
      <dt>Helper</dt><dd>${row.helper ?? "none"}</dd>
      <dt>Transferred</dt><dd>out ${size(row.bytes_out)} (${rate(row.rate_out)}), in ${size(row.bytes_in)} (${rate(row.rate_in)})</dd>
      ${linked.length > 0 && html`<dt>Linked to</dt><dd class="links">${linked.map((each) => html`<div key=${each.id}><button type="button" onClick=${() => follow(each.id)}>flow ${each.id}</button> ${endpoint(each.inside)} and ${endpoint(each.remote)}${each.helper ? `, ${each.helper}` : ""}</div>`)}</dd>`}
    </dl>`}
    ${told && html`<h3>Why</h3>${told.transfer && html`<p class="bad">${visible(told.transfer)}</p>`}<p>${visible(told.verdict)}</p><ul>${told.steps.map((step) => html`<li>${visible(step)}</li>`)}</ul>`}
    <h3>Rewrites and other events</h3>
    <${Events} wanted=${(event) => event.flow === shown || new RegExp(`\\bflow ${shown}\\b`).test(event.text ?? "")} empty="None of the latest events is about this flow." />
    ${failure && html`<p class="bad" role="alert">${failure}</p>`}
    <form class="line" method="dialog">
      <button>Back</button>
      ${settings.changes && !sure && html`<button type="button" class="danger" onClick=${() => setSure(true)}>Close this flow</button>`}
      ${sure && html`<button type="button" class="danger" onClick=${end}>Yes, close flow ${shown}: its packets are dropped</button>`}
    </form>
  </dialog>`;
}
