// The gateway's health, and `explain` as a form.
import { html, useEffect, useRef, useState } from "/preact.js";
import { useView, view } from "/api.js";
import { clock, duration, ended, visible } from "/shown.js";

const Bad = ({ text }) => text && html`<p class="bad" role="alert">${visible(text)}</p>`;

export function Health() {
  const [found, error] = useView("status", {}, 5);
  const row = found?.rows[0];
  return html`<h1>Health</h1><${Bad} text=${error} /><${Doctor} firewall=${row && JSON.stringify(row.obstructions)} />
    ${row && html`<${Now} row=${row} /><${Facts} row=${row} />`}`;
}

// What `ipmasq doctor` finds on the gateway's host. It is examined again when the gateway finds another state of the firewall.
function Doctor({ firewall }) {
  const [found, error, again] = useView("doctor", {}, 0);
  const [busy, work] = useState(false);
  const row = found?.rows[0];
  const examine = async () => { work(true); await again(); work(false); };
  const known = useRef(null);
  useEffect(() => {
    if (firewall && known.current && firewall !== known.current) examine();
    known.current = firewall ?? known.current;
  }, [firewall]);
  const said = !row ? "" : `${row.findings.length || "No"} finding${row.findings.length === 1 ? "" : "s"}, examined at ${clock(row.examined)}.`;
  return html`<section class="panel"><h2>The gateway's host</h2>
    <p role="status" class=${row && !busy && !row.findings.length ? "good" : ""}>${busy || !(row || error) ? "The host is being examined." : said}</p>
    <${Bad} text=${error} />
    ${row && html`<ul class="findings">${row.findings.map((each) => html`<${Finding} key=${each.subject + each.what} finding=${each} />`)}</ul>
      ${row.left_out.length > 0 && html`<p>Not examined:</p><ul>${row.left_out.map((text) => html`<li>${visible(text)}</li>`)}</ul>`}`}
    <button type="button" disabled=${busy} onClick=${examine}>Examine again</button>
    <p class="dim">This is what <code>ipmasq doctor</code> finds with the rights of the gateway. The page changes nothing: the commands are for a terminal on the host.
      What rules about single hosts or ports do to a flow, <a href="#explain">Explain</a> tells.</p></section>`;
}

const Commands = ({ title, lines, about }) => lines.length > 0 && html`<p class="dim">${title}</p><pre class="said" tabindex="0" aria-label=${about}>${lines.map(visible).join("\n")}</pre>`;

function Finding({ finding }) {
  const { subject, what, effect, fix, commands, hint } = finding;
  return html`<li><h3><span class=${hint ? "badge" : "badge bad"}>${hint ? "hint" : "fault"}</span> ${subject}</h3>
    <p class="what">${ended(what)}</p><p><span class="dim">Effect: </span>${ended(effect)}</p>
    ${commands.length ? html`<${Commands} title="What puts it right:" lines=${commands} about=${`commands for ${subject}`} />` : html`<p><span class="dim">What puts it right: </span>${ended(fix)}</p>`}</li>`;
}

// What runs short or has failed by now, as the gateway counts it.
function Now({ row }) {
  const short = [
    ...(row.settings_wrong ?? []).map((each) => `A kernel setting is wrong: ${each}`),
    ...(row.hosts_near_limit ?? []).map((each) => `${each.host} uses ${each.used} of ${each.max} ${each.protocol ? `${each.protocol} ports` : "flows"} (${each.limit})`),
    ...(row.public_ports ?? []).filter((each) => each.used >= 0.8 * each.max).map((each) => `${each.address}: ${each.used} of ${each.max} ${each.protocol} ports are in use`),
    ...(row.flows >= 0.8 * row.max_flows ? [`${row.flows} of ${row.max_flows} flows are alive`] : []),
    ...(row.failures ? [`${row.failures} internal errors, after which the gateway continued; its log has them`] : []),
    ...(row.unsent ? [`The kernel did not accept ${row.unsent} packets`] : []),
    ...(row.state?.trouble ? [`The state is not kept: ${row.state.trouble}`] : []),
  ];
  const obstructed = row.obstructions ?? [];
  return html`<section class="panel"><h2>The running gateway</h2>${short.length > 0 && html`<ul>${short.map((text) => html`<li class="bad">${visible(text)}</li>`)}</ul>`}
    ${obstructed.length > 0 && html`<ul class="findings">${obstructed.map((each) => html`<${Obstruction} key=${each.what} finding=${each} />`)}</ul>`}
    ${short.length + obstructed.length === 0 && html`<p class="good">Nothing runs short, and nothing has failed.</p>`}</section>`;
}

function Obstruction({ finding }) {
  const { what, remedy, commands, deletes } = finding;
  return html`<li><p class="bad">${ended(what)}</p>
    <${Commands} title="What lets it pass:" lines=${commands} about="commands that add rules" />
    <${Commands} title=${commands.length ? "Or, unless other packets need the rules:" : "What puts it right:"} lines=${deletes} about="commands that delete rules" />
    ${commands.length + deletes.length === 0 && html`<p><span class="dim">What puts it right: </span>${ended(remedy)}</p>`}</li>`;
}

function Facts({ row }) {
  const facts = ["version", "config", "plane", "outside", "inside", "networks", "public", "ports"].filter((name) => name in row);
  return html`<section class="panel"><h2>Facts</h2><dl class="facts">${row.uptime != null && html`<dt>uptime</dt><dd>${duration(row.uptime)}</dd>`}
    ${facts.map((name) => html`<dt>${name}</dt><dd>${visible([row[name]].flat().join(", ") || "none")}</dd>`)}</dl></section>`;
}

export function Explain() {
  const [told, tell] = useState(null);
  const [error, fail] = useState("");
  const ask = async (event) => {
    event.preventDefault();
    try { tell((await view("explain", Object.fromEntries(new FormData(event.target)))).rows[0]); fail(""); } catch (problem) { tell(null); fail(problem.message); }
  };
  return html`<h1>Explain</h1><p>What happens, or would happen, to a flow, and why.</p>
    <form class="line" onSubmit=${ask}>
      <div><label for="of">Protocol</label><select id="of" name="protocol"><option value="tcp">tcp</option><option value="udp">udp</option><option value="icmp">icmp</option></select></div>
      <div><label for="source">Source</label><input id="source" name="source" size="22" placeholder="10.0.0.2:40000" required /></div>
      <div><label for="destination">Destination</label><input id="destination" name="destination" size="22" placeholder="198.51.100.1:21" required /></div>
      <div><label for="side">Side of the source</label><select id="side" name="side"><option value="">as the addresses tell</option><option value="inside">inside</option><option value="outside">outside</option></select></div>
      <button>Explain</button>
    </form>
    <div role="status" aria-live="polite">
    ${error && html`<p class="bad">${error}</p>`}
    ${told && html`<section class="panel"><h2>${told.flow != null ? `Flow ${told.flow}` : `From ${told.side}`}: ${visible(told.verdict)}</h2>
      ${told.transfer && html`<p class="bad">${visible(told.transfer)}</p>`}
      <ul>${told.steps.map((step) => html`<li>${visible(step)}</li>`)}</ul>
      ${told.firewall.map((text) => html`<p class="bad said">${text}</p>`)}
      ${told.helpers.map((each) => html`<p>Helper ${each.helper} ${each.bound ? "inspects" : "does not inspect"} it: ${visible(each.reason)}</p>`)}</section>`}</div>`;
}
