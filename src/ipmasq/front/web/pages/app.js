import { html, render, useEffect, useState } from "/preact.js";
import { Flows, Forwards, Helpers, Hosts } from "/lists.js";
import { begin, useLive } from "/live.js";
import { Network } from "/network.js";
import { Overview } from "/overview.js";
import { Replay } from "/replay.js";
import { settings } from "/settings.js";
import { clock, ended } from "/shown.js";
import { Explain, Health } from "/state.js";

const PAGES = {
  overview: ["Overview", Overview], flows: ["Flows", Flows], hosts: ["Hosts", Hosts], helpers: ["Helpers", Helpers],
  forwards: ["Forwards", Forwards], network: ["Network", Network], health: ["Health", Health], explain: ["Explain", Explain],
  replay: ["Replay", Replay],
};

const here = () => location.hash.slice(1).split("/");

function App() {
  const [[page, more], go] = useState(here);
  useEffect(() => {
    const moved = () => { go(here()); document.querySelector("main").focus(); };
    addEventListener("hashchange", moved);
    go(here()); // it may have changed since the page was drawn
    return () => removeEventListener("hashchange", moved);
  }, []);
  const known = Object.hasOwn(PAGES, page) ? page : "overview";
  const [title, Page] = PAGES[known];
  useEffect(() => { document.title = `ipmasq: ${title}`; }, [title]);
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.querySelector("main").focus(); }}>Skip to the page</a>
    <header><span class="name">ipmasq</span>
      <nav aria-label="Pages"><ul>${Object.entries(PAGES).map(([name, [text]]) => html`<li><a href=${`#${name}`} aria-current=${name === known ? "page" : undefined}>${text}${name === "health" && html`<${Mark} />`}</a></li>`)}</ul></nav>
      <${State} />${settings.token && html`<form method="post" action="/logout"><button>Log out</button></form>`}</header>
    <main id="main" tabindex="-1"><${Stale} /><${Page} key=${`${known}/${more ?? ""}`} host=${more ?? ""} /></main>`;
}

const obstructions = (summaries) => summaries.at(-1)?.obstructions ?? 0;

function Mark() {
  return obstructions(useLive().summaries) > 0 && html` <span class="mark" title="the firewall obstructs the gateway">!</span>`;
}

function State() {
  const { connected, gateway, summaries } = useLive();
  const obstructed = obstructions(summaries) > 0;
  const up = obstructed ? "live, obstructed by the firewall" : "live";
  const text = !connected ? "not connected" : gateway.is_up ? up : "the gateway does not answer";
  return html`<span class=${`state ${connected && gateway.is_up && !obstructed ? "" : "down"}`} role="status">${text}</span>`;
}

// What is shown may be old, and looks as if it were of now.
function Stale() {
  const { connected, gateway, summaries } = useLive();
  const last = summaries.at(-1)?.time;
  if ((connected && gateway.is_up) || (!connected && !last)) return null;
  const what = connected ? `The gateway does not answer: ${ended(gateway.text)}` : "The connection to ipmasq web is broken.";
  return html`<p class="panel bad stale" role="alert">${what} ${last && `What is shown here is of ${clock(last)}. `}The page goes on by itself as soon as there is an answer.</p>`;
}

begin();
render(html`<${App} />`, document.getElementById("app"));
