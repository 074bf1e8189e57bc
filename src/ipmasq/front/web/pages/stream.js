// The stream of server-sent events (HTML Living Standard, 9.2), read with fetch, since EventSource cannot send the header
// that only our pages send. A broken stream is resumed with the id of the last message.
export const OURS = { "X-Requested-With": "ipmasq" };

const sleep = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

// A message is { id, kind, data }; a comment has no data.
function parsed(block) {
  const fields = Object.fromEntries(block.split("\n").map((line) => { const at = line.indexOf(": "); return [line.slice(0, at), line.slice(at + 2)]; }));
  return { id: fields.id, kind: fields.event, data: fields.data, retry: Number(fields.retry) };
}

// Follows the gateway for ever, and tells { connected }, { status } of a refusal, or { messages }. Returns a function that ends it.
export function follow(tell, seen = "") {
  const ending = new AbortController();
  let pause = 1000;

  async function read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const end = text.lastIndexOf("\n\n");
      if (end < 0) continue;
      const found = text.slice(0, end).split("\n\n").map(parsed);
      text = text.slice(end + 2);
      pause = found.find((each) => each.retry)?.retry ?? pause;
      const messages = found.filter((each) => each.data != null);
      seen = messages.at(-1)?.id ?? seen;
      if (messages.length) tell({ messages });
    }
  }

  async function once() {
    const headers = { ...OURS, ...(seen && { "Last-Event-ID": seen }) };
    const response = await fetch("/api/events", { headers, cache: "no-store", signal: ending.signal });
    tell(response.ok ? { connected: true } : { connected: false, status: response.status });
    if (response.ok) await read(response.body);
  }

  (async () => {
    while (!ending.signal.aborted) {
      try { await once(); } catch { /* the connection broke, or cannot be made: it is tried again */ }
      if (!ending.signal.aborted) { tell({ connected: false }); await sleep(pause); }
    }
  })();
  return () => ending.abort();
}
