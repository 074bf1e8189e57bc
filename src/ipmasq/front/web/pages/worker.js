// One stream for all pages of this browser: over HTTP/1.1 it has six connections to a host, and each stream holds one.
// The worker lives as long as a page does, and tells a new page what it has kept.
import { Latest } from "/kept.js";
import { follow } from "/stream.js";

const pages = new Set();
const kept = { summary: new Latest("summary"), happened: new Latest("happened"), gateway: new Latest("gateway") };
let state = { connected: false };

follow((said) => {
  for (const message of said.messages ?? []) kept[message.kind].add(message, message.data.length);
  if (!said.messages) state = said;
  for (const page of pages) page.postMessage(said);
});

addEventListener("connect", ({ ports: [page] }) => {
  page.onmessage = () => pages.delete(page); // it says so when it is left
  pages.add(page);
  page.postMessage({ messages: Object.values(kept).flatMap((each) => each.values) });
  page.postMessage(state);
});
