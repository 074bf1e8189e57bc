// The gateway's health, and `explain` as a form.
import { html, useState } from "/vendor/preact.js";
import { useView, view } from "/api.js";
import { duration, visible } from "/shown.js";

export function Health() {
  const [found, error] = useView("status", {}, 5);
  const row = found?.rows[0];
  if (!row) return html`<h1>Health</h1>${error && html`<p class="bad" role="alert">${error}</p>`}`;
  const findings = [
    ...(row.firewall ?? []), ...(row.settings_wrong ?? []).map((each) => `a kernel setting is wrong: ${each}`),
    ...(row.hosts_near_limit ?? []).map((each) => `${each.host} uses ${each.used} of ${each.max} ${each.protocol ? `${each.protocol} ports` : "flows"} (${each.limit})`),
    ...(row.public_ports ?? []).filter((each) => each.used >= 0.8 * each.max).map((each) => `${each.address}: ${each.used} of ${each.max} ${each.protocol} ports are in use`),
    ...(row.flows >= 0.8 * row.max_flows ? [`${row.flows} of ${row.max_flows} flows are alive`] : []),
    ...(row.failures ? [`${row.failures} internal errors, after which the gateway continued; its log has them`] : []),
    ...(row.unsent ? [`the kernel did not accept ${row.unsent} packets`] : []),
  ];
  const facts = ["version", "config", "plane", "outside", "inside", "networks", "public", "ports"].filter((name) => name in row);
  return html`<h1>Health</h1>
    <section class="panel"><h2>Findings</h2>${findings.length ? html`<ul>${findings.map((text) => html`<li class="bad">${visible(text)}</li>`)}</ul>` : html`<p class="good">The gateway finds nothing wrong.</p>`}
    <p class="dim">What the running gateway knows. <code>ipmasq doctor</code>, as root on the gateway, examines the whole host.</p></section>
    <section class="panel"><h2>Facts</h2><dl class="facts">${row.uptime != null && html`<dt>uptime</dt><dd>${duration(row.uptime)}</dd>`}
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
      <div><label for="source">From</label><input id="source" name="source" size="22" placeholder="10.0.0.2:40000" required /></div>
      <div><label for="destination">To</label><input id="destination" name="destination" size="22" placeholder="198.51.100.1:21" required /></div>
      <div><label for="side">Comes from</label><select id="side" name="side"><option value="">as the addresses tell</option><option value="inside">inside</option><option value="outside">outside</option></select></div>
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
