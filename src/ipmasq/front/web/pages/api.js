// Questions to the gateway, and changes. Every failure is an Error with a sentence.
import { useEffect, useRef, useState } from "/preact.js";
import { OURS } from "/stream.js";

async function read(response) {
  let body = {};
  try { body = await response.json(); } catch { /* not JSON: the status says enough */ }
  if (response.status === 401) location.assign("/login");
  if (!response.ok) throw new Error(body.error?.message ?? `the answer was ${response.status}`);
  return body;
}

export async function view(name, given = {}) {
  const asked = Object.entries(given).filter(([, value]) => value !== "" && value != null);
  return read(await fetch(`/api/view/${name}?${new URLSearchParams(asked)}`, { headers: OURS }));
}

export async function change(name, given) {
  const asked = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ""));
  const options = { method: "POST", headers: { ...OURS, "Content-Type": "application/json" }, body: JSON.stringify(asked) };
  return read(await fetch(`/api/change/${name}`, options));
}

// Returns the address of the page that was made of a capture, and what has to be said of it.
export async function replay(file) {
  const options = { method: "POST", headers: { ...OURS, "Content-Type": "application/octet-stream" }, body: file };
  return read(await fetch(`/api/replay?${new URLSearchParams({ name: file.name })}`, options));
}

// The rows of a view, asked again every so many seconds while the page is visible. Returns [answer, error, again].
export function useView(name, given, seconds) {
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState("");
  const key = JSON.stringify(given);
  const ask = useRef(() => {});
  useEffect(() => {
    let over = false, timer = null;
    ask.current = async () => {
      clearTimeout(timer);
      try {
        if (!document.hidden) {
          const found = await view(name, given);
          if (!over) { setAnswer({ ...found, asked: Date.now() / 1000 }); setError(""); }
        }
      } catch (failure) { if (!over) setError(failure.message); }
      if (!over && seconds) timer = setTimeout(ask.current, seconds * 1000);
    };
    setAnswer(null);
    ask.current();
    return () => { over = true; clearTimeout(timer); };
  }, [name, key, seconds]);
  return [answer, error, () => ask.current()];
}
