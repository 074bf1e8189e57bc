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

// Characters without a glyph (control characters, line ends, direction marks, soft hyphens) are shown as the escapes that the command line
// uses, never sent to the screen as they are.
export const visible = (text) => String(text).replace(/[\p{C}\p{Z}]/gu, (found) => {
  if (found === " ") return found;
  const code = found.codePointAt(0), digits = code.toString(16);
  const named = { "\r": "\\r", "\n": "\\n", "\t": "\\t" }[found];
  return named ?? (code < 0x100 ? `\\x${digits.padStart(2, "0")}` : code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`);
});

// A sentence with its full stop, unless it ends in another way.
export const ended = (text) => (/[.?!]$/.test(text) ? visible(text) : `${visible(text)}.`);
