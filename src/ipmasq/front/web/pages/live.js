// What the gateway tells: summaries and events, from one stream for all pages of this browser.
import { useEffect, useState } from "/preact.js";
import { Latest } from "/kept.js";
import { follow } from "/stream.js";

const summaries = new Latest("summary"), events = new Latest("happened");
const state = { gateway: { is_up: true, text: "" }, connected: false, summaries: summaries.values, events: events.values };
const listeners = new Set();
let planned = false, count = 0;

function changed() {
  // Many messages can come at once; the page is drawn once for all of them.
  if (planned) return;
  planned = true;
  setTimeout(() => { planned = false; for (const each of listeners) each(); }, 50);
}

const taken = {
  summary: (row, size) => summaries.add(row, size),
  happened: (row, size) => { row.seen = Date.now() / 1000; row.key = count += 1; events.add(row, size); },
  gateway: (row) => { state.gateway = row; },
};

function take({ connected, status, messages = [] }) {
  // A process that has begun anew wants the token again.
  if (status === 401) location.assign("/login");
  if (connected != null) state.connected = connected;
  for (const { kind, data } of messages) taken[kind](JSON.parse(data), data.length);
  changed();
}

// Where browsers have no shared workers, a page has a stream of its own as long as it is seen.
function alone() {
  let end = null, seen = "";
  const heard = (said) => { seen = said.messages?.at(-1).id ?? seen; take(said); };
  const turn = () => {
    if (document.hidden) { end?.(); end = null; } else end ??= follow(heard, seen);
  };
  document.addEventListener("visibilitychange", turn);
  turn();
}

export function begin() {
  let worker;
  try { worker = new SharedWorker("/worker.js", { type: "module", name: "ipmasq" }); } catch { alone(); return; }
  worker.onerror = () => { worker.onerror = null; alone(); };
  worker.port.onmessage = ({ data }) => take(data);
  addEventListener("pagehide", () => worker.port.postMessage("left"));
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

// A component that calls this is drawn again when something has come.
export function useLive() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const listener = () => redraw((count) => count + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return state;
}
