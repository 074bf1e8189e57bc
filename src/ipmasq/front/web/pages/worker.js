// One stream for all pages of this browser: over HTTP/1.1 it has six connections to a host, and each stream holds one.
// The worker lives as long as a page does, and tells a new page what it has kept.
import { KEPT, follow } from "/stream.js";

const pages = new Set();
const kept = [];
let state = { connected: false };

function keep(messages) {
  kept.push(...messages);
  if (kept.length < 4000) return;
  const left = { ...KEPT };
  const latest = kept.splice(0).reverse().filter((each) => (left[each.kind] -= 1) >= 0).reverse();
  kept.push(...latest);
}

follow((said) => {
  if (said.messages) keep(said.messages);
  else state = said;
  for (const page of pages) page.postMessage(said);
});

addEventListener("connect", ({ ports: [page] }) => {
  page.onmessage = () => pages.delete(page); // it says so when it is left
  pages.add(page);
  page.postMessage({ messages: kept });
  page.postMessage(state);
});
