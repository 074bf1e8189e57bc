// Values as text. The same forms as on the command line.
export const endpoint = (end) => (end.address.includes(":") ? `[${end.address}]:${end.port}` : `${end.address}:${end.port}`);

export function scaled(amount, unit = "") {
  const prefixes = ["", "k", "M", "G", "T"];
  let at = 0;
  while (amount >= 1000 && at < prefixes.length - 1) { amount /= 1000; at += 1; }
  const text = at === 0 || amount >= 100 ? amount.toFixed(0) : amount.toFixed(1);
  return `${text}${unit || prefixes[at] ? " " : ""}${prefixes[at]}${unit}`;
}

export const rate = (bytes) => (bytes == null ? "" : scaled(bytes, "B/s"));
export const size = (bytes) => scaled(bytes, "B");

export function duration(seconds) {
  if (seconds == null) return "linked";
  const whole = Math.floor(seconds);
  for (const [length, unit, smaller, small] of [[86400, "d", 3600, "h"], [3600, "h", 60, "m"], [60, "m", 1, "s"]])
    if (whole >= length) return `${Math.floor(whole / length)}${unit}${Math.floor((whole % length) / smaller)}${small}`;
  return `${whole}s`;
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

// Control characters and direction marks are shown as escapes, never sent to the screen as they are.
export const visible = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, (found) =>
  ({ "\r": "\\r", "\n": "\\n", "\t": "\\t" })[found] ?? `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);

// A sentence with its full stop, unless it ends in another way.
export const ended = (text) => (/[.?!]$/.test(text) ? visible(text) : `${visible(text)}.`);
