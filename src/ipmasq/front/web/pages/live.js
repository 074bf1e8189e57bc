// What the gateway tells: summaries and events, from one stream of server-sent events. The browser resumes a broken
// stream by itself, with the id of the last message (HTML Living Standard, 9.2).
import { useEffect, useState } from "/vendor/preact.js";
import { view } from "/api.js";

const KEPT = { summaries: 600, events: 1000 };
const state = { gateway: { is_up: true, text: "" }, connected: false, summaries: [], events: [], delay: null };
const listeners = new Set();
let planned = false;

function changed() {
  // Many messages can come at once; the page is drawn once for all of them.
  if (planned) return;
  planned = true;
  setTimeout(() => { planned = false; for (const each of listeners) each(); }, 50);
}

function keep(list, value, most) {
  list.push(value);
  if (list.length > most) list.splice(0, list.length - most);
}

// The browser has given up, since it was refused. A process that has begun anew wants the token again.
async function again() {
  try { await view("timeouts"); } catch { /* it says what is wrong when it answers */ }
  setTimeout(begin, 2000);
}

export function begin() {
  const source = new EventSource("/api/events");
  source.onopen = () => { state.connected = true; changed(); };
  source.onerror = () => {
    state.connected = false;
    changed();
    if (source.readyState === EventSource.CLOSED) again();
  };
  const on = (name, take) => source.addEventListener(name, (event) => { take(JSON.parse(event.data)); changed(); });
  on("summary", (row) => keep(state.summaries, row, KEPT.summaries));
  on("happened", (row) => { row.seen = Date.now() / 1000; keep(state.events, row, KEPT.events); });
  on("gateway", (row) => { state.gateway = row; });
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
