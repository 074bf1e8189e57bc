// Parts that several pages use: a table, the list of events, one flow.
import { html, useEffect, useRef, useState } from "/preact.js";
import { change, useView } from "/api.js";
import { useLive } from "/live.js";
import { settings } from "/settings.js";
import { clock, duration, ended, endpoint, rate, size, visible } from "/shown.js";

// `columns`: [title, cell(row), kind, key]. A column with a key can be sorted by. On a telephone each cell has its title, and the cells
// of a row wrap as words do. The roles are said since a table that is laid out in another way is none for some screen readers.
export function Table({ caption, columns, rows, by, sort, again, empty }) {
  const renew = again && html` <button type="button" onClick=${again}>Ask again</button>`;
  if (!rows.length) return html`<p>${empty}${renew}</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}><table role="table">
    <caption>${caption}${renew}</caption>
    <thead role="rowgroup"><tr role="row">${columns.map(([title, , kind, key]) => html`<th role="columnheader" scope="col" class=${kind} aria-sort=${key && key === by ? "descending" : undefined}>
      ${key && sort ? html`<button type="button" onClick=${() => sort(key)}>${title}</button>` : html`<span>${title}</span>`}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map((row) => html`<tr role="row" key=${row.id ?? row.name ?? row.host}>${columns.map(([title, cell, kind]) => html`<td role="cell" class=${kind} data-title=${title}>${cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

const LONG = 400, END = 100;

// Foreign text. Of a long one the beginning, and the end with the reason, until all of it is asked for: many of them keep the browser busy.
function Line({ text }) {
  const [whole, show] = useState(false);
  if (whole || text.length <= LONG) return visible(text);
  return html`${visible(text.slice(0, LONG - END))} <button type="button" class="more" onClick=${() => show(true)}>show all ${text.length} characters</button> ${visible(text.slice(-END))}`;
}

// Events of a flow whose text does not name it. What a text names may be what a host has said.
const WITHOUT_FLOW = ["expected", "expectation_ended", "expectation_missed", "refused", "helper_failed"];

export function Event({ row }) {
  return html`<li><time>${row.time ? clock(row.time) : ""}</time>
    ${row.event === "rewritten"
      ? html`<span>flow ${row.flow}: helper ${row.helper} rewrote what the ${row.speaker} said</span>
        <p class="said before"><span class="dim">before </span><${Line} text=${row.before} /></p><p class="said after"><span class="dim">after  </span><${Line} text=${row.after} /></p>`
      : html`<span class=${["refused", "expectation_missed", "helper_failed", "packet_failed", "limit_reached", "gateway_lost"].includes(row.event) ? "bad" : ""}>${WITHOUT_FLOW.includes(row.event) ? `flow ${row.flow}: ` : ""}<${Line} text=${row.text} /></span>`}
  </li>`;
}

export function Events({ wanted = () => true, most = 50, empty }) {
  const found = useLive().events.filter(wanted).slice(-most).reverse();
  return found.length ? html`<ul class="events">${found.map((row) => html`<${Event} key=${row.key} row=${row} />`)}</ul>` : html`<p>${empty}</p>`;
}

// An endpoint that may be broken before its port, where there is little room.
const End = ({ end }) => { const text = endpoint(end), port = text.lastIndexOf(":"); return html`${text.slice(0, port)}<wbr />${text.slice(port)}`; };

export const FLOW_COLUMNS = (open) => [
  ["flow", (row) => html`<button type="button" aria-label=${`open flow ${row.id}`} onClick=${() => open(row.id)}>${row.id}</button>`, "number"],
  ["protocol", (row) => row.protocol],
  ["inside", (row) => html`<${End} end=${row.inside} />`, "end"],
  ["public", (row) => html`<${End} end=${row.public} />`, "end"],
  ["remote", (row) => html`<${End} end=${row.remote} />`, "end"],
  ["state", (row) => row.state],
  ["helper", (row) => visible(row.helper ?? (row.encrypted ? "encrypted" : "")), "word"],
  ["out", (row) => rate(row.rate_out), "number", "rate"],
  ["in", (row) => rate(row.rate_in), "number", "rate"],
  ["bytes", (row) => size(row.bytes_out + row.bytes_in), "number", "bytes"],
  ["age", (row) => duration(row.age), "number"],
];

// Returns what opens a flow, and the part of the page in which it is shown. What was closed is said when it has been left.
export function useFlow() {
  const [opened, open] = useState(null);
  const [said, say] = useState("");
  const leave = (text) => { open(null); say(text); };
  const part = html`<p class="good" role="status">${said}</p>${opened != null && html`<${Flow} key=${opened} number=${opened} leave=${leave} />`}`;
  return [(number) => { say(""); open(number); }, part];
}

function Flow({ number, leave }) {
  const dialog = useRef(null);
  const title = useRef(null);
  const [shown, show] = useState(number);
  const [sure, setSure] = useState(false);
  const [failure, setFailure] = useState("");
  const closed = useRef("");
  const [found, error] = useView("flow", { flow: shown }, 2);
  const [explained] = useView("explain", { flow: shown }, 0);
  useEffect(() => { dialog.current.showModal(); }, []);
  const end = async () => {
    try {
      await change("close", { flow: shown });
      closed.current = `Flow ${shown} is closed${row ? `: ${row.protocol}, ${endpoint(row.inside)} with ${endpoint(row.remote)}` : ""}.`;
      dialog.current.close();
    } catch (problem) { setFailure(`Flow ${shown} is not closed: ${ended(problem.message)}`); }
  };
  const follow = (flow) => { show(flow); setSure(false); setFailure(""); title.current.focus(); };
  const [row, ...linked] = found?.rows ?? [];
  const told = explained?.rows[0];
  return html`<dialog ref=${dialog} aria-labelledby="flow-title" onClose=${() => leave(closed.current)}>
    <h2 id="flow-title" tabindex="-1" ref=${title}>Flow ${shown}</h2>
    ${error && html`<p class="bad" role="alert">${error}</p>`}
    ${row && html`<dl class="facts">
      <dt>Ends</dt><dd>${endpoint(row.inside)} as ${endpoint(row.public)}, with ${endpoint(row.remote)} (${row.protocol})</dd>
      <dt>State</dt><dd>${row.state}, since ${duration(row.age)}, expires: ${duration(row.expires_in)}</dd>
      <dt>Origin</dt><dd>${visible(row.origin)}</dd>
      <dt>Helper</dt><dd>${row.helper ?? "none"}</dd>
      <dt>Transferred</dt><dd>out ${size(row.bytes_out)} (${rate(row.rate_out)}), in ${size(row.bytes_in)} (${rate(row.rate_in)})</dd>
      ${linked.length > 0 && html`<dt>Linked to</dt><dd class="links">${linked.map((each) => html`<div key=${each.id}><button type="button" onClick=${() => follow(each.id)}>flow ${each.id}</button> ${endpoint(each.inside)} and ${endpoint(each.remote)}${each.helper ? `, ${each.helper}` : ""}</div>`)}</dd>`}
    </dl>`}
    ${told && html`<h3>Why</h3>${told.transfer && html`<p class="bad">${visible(told.transfer)}</p>`}<p>${visible(told.verdict)}</p><ul>${told.steps.map((step) => html`<li>${visible(step)}</li>`)}</ul>`}
    <h3>Rewrites and other events</h3>
    <${Events} wanted=${(event) => event.flow === shown || event.met_by === shown} empty="None of the latest events is about this flow." />
    ${failure && html`<p class="bad" role="alert">${failure}</p>`}
    <form class="line" method="dialog">
      <button>Back</button>
      ${settings.changes && !sure && html`<button type="button" class="danger" onClick=${() => setSure(true)}>Close this flow</button>`}
      ${sure && html`<button type="button" class="danger" onClick=${end}>Yes, close flow ${shown}: its packets are dropped</button>`}
    </form>
  </dialog>`;
}
