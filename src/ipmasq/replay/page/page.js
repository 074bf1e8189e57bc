"use strict";
// The page is complete without this script; it only hides rows.
const rows = Array.from(document.querySelectorAll("tbody tr"));
const conversation = document.getElementById("conversation");
const boxes = Array.from(document.querySelectorAll("input[data-shows]"));
const count = document.getElementById("count");

function filter() {
  const unwanted = new Set(boxes.filter((box) => !box.checked).map((box) => box.dataset.shows));
  let shown = 0;
  for (const row of rows) {
    const other = conversation.value !== "" && row.dataset.conversation !== conversation.value;
    row.hidden = other || unwanted.has(row.dataset.group);
    shown += row.hidden ? 0 : 1;
  }
  count.textContent = shown + " of " + rows.length + " steps are shown";
}

// A link may lead to a row that is hidden at present.
function reveal() {
  const row = location.hash.startsWith("#step-") && document.getElementById(location.hash.slice(1));
  if (row && row.hidden) {
    conversation.value = "";
    for (const box of boxes) box.checked = true;
    filter();
    row.scrollIntoView();
  }
}

conversation.addEventListener("change", filter);
for (const box of boxes) box.addEventListener("change", filter);
window.addEventListener("hashchange", reveal);
document.getElementById("filters").hidden = false;
filter();
