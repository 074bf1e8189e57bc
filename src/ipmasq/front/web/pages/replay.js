// A capture that is dropped onto the page, or chosen, becomes a ladder diagram, which the web process makes.
import { html, useEffect, useState } from "/preact.js";
import { replay } from "/api.js";
import { settings } from "/settings.js";
import { size, visible } from "/shown.js";

export function Replay() {
  const [over, hover] = useState(false);
  const [shown, show] = useState({});
  const send = async (file) => {
    if (!file) return;
    const name = visible(file.name);
    if (file.size > settings.largest_capture) {
      show({ error: `${name} has ${size(file.size)}; these pages take ${size(settings.largest_capture)}. ipmasq replay takes captures of any size.` });
      return;
    }
    show({ busy: name });
    try { show({ name, ...(await replay(file)) }); } catch (problem) { show({ error: `${name}: ${problem.message}` }); }
  };
  useEffect(() => {
    const drag = (event) => { event.preventDefault(); hover(true); };
    const leave = (event) => { if (!event.relatedTarget) hover(false); };
    const drop = (event) => { event.preventDefault(); hover(false); send(event.dataTransfer.files[0]); };
    const all = { dragover: drag, dragleave: leave, drop };
    for (const [name, listener] of Object.entries(all)) addEventListener(name, listener);
    return () => { for (const [name, listener] of Object.entries(all)) removeEventListener(name, listener); };
  }, []);
  return html`<h1>Replay</h1>
    <p>What the gateway would do with the packets of a capture (pcap or pcapng), and why. Take it where packets are not translated yet, as on its inside interface: <code>tcpdump -i lan0 -w in.pcap host 10.0.0.2</code></p>
    <div class=${over ? "drop over" : "drop"}><label for="capture">Drop a capture anywhere on this page, or choose one</label>
      <input id="capture" type="file" accept=".pcap,.pcapng,.cap" disabled=${Boolean(shown.busy)} onChange=${(event) => { send(event.target.files[0]); event.target.value = ""; }} /></div>
    <p role="status">${shown.busy ? `${shown.busy} is being replayed.` : shown.page ? `${shown.name} was replayed.` : ""}</p>
    ${shown.error && html`<p class="bad" role="alert">${visible(shown.error)}</p>`}
    ${shown.notice && html`<p class="bad" role="alert">${visible(shown.notice)}</p>`}
    ${shown.page && html`<p class="links"><a href=${shown.page} target="_blank" rel="noopener">Open it alone</a> <a href=${shown.page} download=${`${shown.name}.html`}>Save it as a file</a></p>
      <iframe class="ladder" src=${shown.page} title=${`Ladder diagram of ${shown.name}`} sandbox="allow-scripts"></iframe>`}
    <p class="dim">The configuration is the running gateway's, and the capture is not kept. Passwords are left out of the diagram; other things that were said are in it.</p>`;
}
