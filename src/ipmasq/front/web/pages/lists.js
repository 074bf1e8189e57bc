// Flows, hosts, helpers and forwards.
import { html, useState } from "/preact.js";
import { change, useView } from "/api.js";
import { Events, FLOW_COLUMNS, Table, useFlow } from "/parts.js";
import { settings } from "/settings.js";
import { clock, ended, endpoint, rate, size, visible } from "/shown.js";

const Problem = ({ text }) => text && html`<p class="bad" role="alert">${text}</p>`;
const values = (form) => Object.fromEntries(new FormData(form));

export function Flows({ host = "" }) {
  const [by, setBy] = useState("rate");
  const [filter, setFilter] = useState({ host });
  const [open, opened] = useFlow();
  const filtered = Object.values(filter).some(Boolean);
  const [found, error, again] = useView(filtered ? "flows" : "top", filtered ? filter : { by, limit: 100 }, filtered ? 0 : 2);
  const those = `Flows that match, as of ${clock(found?.asked)}${found?.more ? ": the first 1000" : ""}`;
  const rows = found?.rows ?? [];
  return html`<h1>Flows</h1>
    <form class="line" onSubmit=${(event) => { event.preventDefault(); setFilter(values(event.target)); }}>
      <div><label for="host">Address</label><input id="host" name="host" size="16" defaultValue=${filter.host ?? ""} /></div>
      <div><label for="port">Port</label><input id="port" name="port" size="6" inputmode="numeric" /></div>
      <div><label for="protocol">Protocol</label><select id="protocol" name="protocol"><option value="">any</option><option value="tcp">tcp</option><option value="udp">udp</option><option value="icmp">icmp</option></select></div>
      <div><label for="helper">Helper</label><input id="helper" name="helper" size="8" /></div>
      <button>Filter</button><button type="button" onClick=${(event) => { event.target.form.reset(); setFilter({}); }}>All</button>
    </form>
    ${opened}<${Problem} text=${error} />
    ${found && html`<${Table} caption=${filtered ? those : `The ${rows.length} flows with the most ${by === "rate" ? "bytes per second" : "bytes"}`}
      columns=${FLOW_COLUMNS(open)} rows=${rows} by=${by} sort=${filtered ? null : setBy} again=${filtered ? again : null} empty=${filtered ? `No flow matched at ${clock(found.asked)}.` : "There are no flows."} />`}`;
}

export function Hosts() {
  const [by, setBy] = useState("rate");
  const [found, error] = useView("hosts", { by, limit: 200 }, 2);
  const columns = [
    ["host", (row) => html`<a href=${`#flows/${row.host}`}>${row.host}</a>`],
    ["flows", (row) => row.flows, "number", "flows"],
    ["public ports", (row) => row.ports, "number", "ports"],
    ["out", (row) => rate(row.rate_out), "number", "rate"],
    ["in", (row) => rate(row.rate_in), "number", "rate"],
    ["bytes of live flows", (row) => size(row.bytes), "number", "bytes"],
  ];
  return html`<h1>Hosts</h1><${Problem} text=${error} />
    ${found && html`<${Table} caption="Inside hosts with live flows" columns=${columns} rows=${found.rows} by=${by} sort=${setBy} empty="No inside host has a flow." />`}`;
}

export function Helpers() {
  const [found, error] = useView("helpers", {}, 2);
  const [expected] = useView("expectations", {}, 2);
  const columns = [
    ["helper", (row) => row.name], ["protocol", (row) => row.protocol], ["ports", (row) => row.ports.join(", ")],
    ["flows now", (row) => row.flows, "number"], ["flows ever", (row) => row.flows_total, "number"],
    ["lines", (row) => row.lines, "number"], ["rewritten", (row) => row.rewritten, "number"],
    ["expected", (row) => row.expectations, "number"], ["arrived", (row) => row.expectations_met, "number"],
    ["refusals", (row) => Object.values(row.refusals).reduce((sum, count) => sum + count, 0), "number"], ["failures", (row) => row.failures, "number"],
  ];
  const expectations = [
    ["control flow", (row) => row.flow, "number"], ["helper", (row) => row.helper], ["admitted from", (row) => row.peer],
    ["expected at", (row) => endpoint(row.public)], ["announced as", (row) => endpoint(row.announced)],
  ];
  return html`<h1>Helpers</h1><${Problem} text=${error} />
    ${found && html`<${Table} caption="Loaded helpers, and their work since they were loaded" columns=${columns} rows=${found.rows} empty="No helper is loaded." />`}
    ${expected && html`<section class="panel"><h2>Expectations</h2><${Table} caption="Flows that have not arrived yet" columns=${expectations} rows=${expected.rows} empty="No flow is expected." /></section>`}
    <section class="panel"><h2>Rewrites, announcements and refusals</h2><${Events} wanted=${(row) => row.helper != null} most=${100} empty="No helper has done anything yet." /></section>`;
}

export function Forwards() {
  const [found, error, again] = useView("forwards", {}, 5);
  const [said, say] = useState([]);
  const [removing, remove] = useState(null);
  const doing = (work, text, then = () => {}) => work.then((answer) => { then(); say([["good", text], ...(answer.done.warnings ?? []).map((each) => ["bad", `Warning: ${ended(each)}`])]); remove(null); again(); }).catch((problem) => say([["bad", problem.message]]));
  const columns = [
    ["name", (row) => visible(row.name), "name"],
    ...(settings.changes ? [["change", (row) => removing === row.name
      ? html`<button type="button" class="danger" onClick=${() => doing(change("forward_remove", { name: row.name }), `Forward ${row.name} is removed.`)} aria-label=${`Yes, remove ${row.name}`}>Yes, remove</button>`
      : html`<button type="button" onClick=${() => remove(row.name)} aria-label=${`remove forward ${row.name}`}>Remove</button>`]] : []), // beside the name, so that it is on a telephone's screen
    ["protocol", (row) => row.protocol], ["public", (row) => `${row.public ?? "*"}:${row.ports}`], ["inside", (row) => `${row.inside}:${row.inside_ports}`],
  ];
  const add = (event) => { event.preventDefault(); const form = event.target; doing(change("forward_add", values(form)), "The forward is added.", () => form.reset()); };
  return html`<h1>Forwards</h1><${Problem} text=${error} />
    ${found && html`<${Table} caption="Published servers" columns=${columns} rows=${found.rows} empty="No server is published." />`}
    <div role="status">${said.map(([kind, text]) => html`<p class=${kind}>${text}</p>`)}</div>
    ${settings.changes ? html`<section class="panel"><h2>Publish a server</h2><p>The forward lasts until the gateway reads its configuration again.</p><form class="line" onSubmit=${add}>
      <div><label for="new-protocol">Protocol</label><select id="new-protocol" name="protocol"><option value="tcp">tcp</option><option value="udp">udp</option></select></div>
      <div><label for="new-ports">Public port or range</label><input id="new-ports" name="ports" size="11" required /></div>
      <div><label for="new-inside">Inside address</label><input id="new-inside" name="inside" size="16" required /></div>
      <div><label for="new-port">Its port, if another</label><input id="new-port" name="inside_port" size="11" /></div>
      <div><label for="new-public">At one public address only</label><input id="new-public" name="public" size="16" /></div>
      <div><label for="new-name">Name</label><input id="new-name" name="name" size="12" /></div>
      <button>Publish</button></form></section>` : html`<p class="dim">These pages change nothing: <code>ipmasq web --allow-changes</code> lets them.</p>`}`;
}
