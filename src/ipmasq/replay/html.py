"""Writes the steps of a replay as one page: a ladder diagram that is a table, so that a screen reader reads it, too.

The page needs nothing else: its style and script are in it, and its Content-Security-Policy allows no others. All that
came from the capture is escaped twice: made visible (`steps`), then made harmless in HTML (here).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template

from ipmasq.replay.steps import MOST_STEPS, Column, Kind, Outcome, Step, Steps
from ipmasq.wire.visible import visible

WORDS = {
    Outcome.REWRITTEN: "rewritten",
    Outcome.LINKED: "passed, and a connection is expected",
    Outcome.REFUSED: "not acted on",
    Outcome.FAILED: "the helper failed",
    Outcome.DROPPED: "dropped",
    Outcome.PASSED: "passed",
}


def render(result: Steps, title: str, facts: Mapping[str, str], damage: str = "") -> str:
    """Return the page. `facts` are what the replay counted, by name; `damage` says why reading stopped early. It
    has no lone surrogates, so that it can be written as UTF-8."""
    page = files("ipmasq.replay") / "page"
    style = (page / "page.css").read_text(encoding="utf-8")
    script = (page / "page.js").read_text(encoding="utf-8")
    return Template((page / "page.html").read_text(encoding="utf-8")).substitute(
        title=_text(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        notices=_notice(f"The capture was read up to its damage: {damage}") if damage else "",
        facts="".join(_fact(name, value) for name, value in facts.items()),
        conversations="".join(_conversations(result.steps)),
        ladder=_ladder(result.steps) if result.steps else "<p>Nothing happened.</p>",
        more=_more(result.more),
    )


def _text(text: str) -> str:
    return escape(visible(text))


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def _notice(text: str) -> str:
    return f'<p class="notice">{_text(text)}</p>'


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>"


def _more(more: int) -> str:
    text = f"Only the first {MOST_STEPS:,} steps are shown; {more:,} more happened."
    return _notice(text) if more else ""


def _conversations(steps: Iterable[Step]) -> Iterable[str]:
    """Yield an option for each control flow, and for each flow that belongs to none."""
    for step in steps:
        if step.kind is Kind.OPENED and step.flow == step.conversation:
            ends = f"{step.protocol} {step.inside} and {step.remote}"
            yield f'<option value="{step.flow}">Flow {step.flow}: {_text(ends)}</option>'


def _ladder(steps: Iterable[Step]) -> str:
    head = (
        '<thead><tr><th scope="col" class="number">Step</th><th scope="col" class="time">Time</th>'
        '<th scope="col" class="lanes"><span class="heads"><span>Inside host</span><span>Gateway</span>'
        '<span>Outside host</span></span></th><th scope="col" class="what">What happened</th></tr></thead>'
    )
    caption = (
        '<caption class="unseen">What each end sent, and what the gateway did with it</caption>'
    )
    return f"<table>{caption}{head}<tbody>{''.join(map(_row, steps))}</tbody></table>"


def _row(step: Step) -> str:
    data = " data" if step.conversation != step.flow else ""
    packet = (
        f'<br><span class="packet">packet {step.packet}</span>' if step.packet is not None else ""
    )
    conversation = "" if step.conversation is None else step.conversation
    return (
        f'<tr id="step-{step.number}" class="{step.kind} {step.outcome}{data}"'
        f' data-conversation="{conversation}" data-group="{_group(step)}">'
        f'<th scope="row" class="number"><a href="#step-{step.number}">{step.number}</a></th>'
        f'<td class="time">{step.at:.3f} s{packet}</td>'
        f'<td class="picture">{_picture(step)}</td><td class="what">{_what(step)}</td></tr>\n'
    )


def _group(step: Step) -> str:
    """Return which box of the page hides the step."""
    if step.kind is Kind.LINE:
        return str(step.outcome)
    return str(Kind.NOTE if step.kind is Kind.EARLIER else step.kind)


def _picture(step: Step) -> str:
    texts = {
        Kind.LINE: _line,
        Kind.OPENED: _ends,
        Kind.CLOSED: _end,
        Kind.OPEN: _end,
        Kind.DROPPED: _ends,
        Kind.EARLIER: _ends,
    }
    written = texts[step.kind](step) if step.kind in texts else ""
    kind = "text" if step.kind is Kind.LINE and step.before == step.after else "texts"
    return f'<div class="{kind}">{written}</div>{_arrow(step) if step.is_arrow else ""}'


def _arrow(step: Step) -> str:
    way = "out" if step.source is Column.INSIDE else "in"
    half = " half" if step.target is Column.GATEWAY else ""
    mark = "<b></b>" if step.outcome is Outcome.REWRITTEN else ""
    return f'<div class="arrow {way}{half}" aria-hidden="true">{mark}</div>'


def _line(step: Step) -> str:
    """Return a line: once if it passed unchanged, else as it was sent and as it was received."""
    said = f'<span class="unseen">From the {step.source} host: </span>'
    if step.before == step.after:
        return f"{said}<code>{_text(step.before)}</code>"
    before, after = _marked(step.before, step.after)
    sent, received = ("left", "right") if step.source is Column.INSIDE else ("right", "left")
    heard = f'<span class="unseen">To the {step.target} host: </span>'
    return (
        f'<div class="{sent}">{said}<code>{before}</code></div>'
        f'<div class="{received}">{heard}<code>{after}</code></div>'
    )


def _marked(before: str, after: str) -> tuple[str, str]:
    """Return both texts in HTML, with what differs in `del` and `ins`."""
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])

    def part(text: str, tag: str) -> str:
        stop = len(text) - end
        return f"{_text(text[:start])}<{tag}>{_text(text[start:stop])}</{tag}>{_text(text[stop:])}"

    return part(before, "del"), part(after, "ins")


def _common(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _ends(step: Step) -> str:
    parts = [
        f'<div class="{side}"><code>{_text(end)}</code></div>'
        for side, end in (("left", step.inside), ("right", step.remote))
        if end
    ]
    if step.public:
        parts.append(f'<div class="middle seen"><code>{_text(step.public)}</code></div>')
    return "".join(parts)


def _end(step: Step) -> str:
    sizes = f"{step.bytes_out:,} bytes out, {step.bytes_in:,} bytes in, {step.packets:,} packets"
    return f'<div class="middle">flow {step.flow}: {sizes}</div>'


def _what(step: Step) -> str:
    parts = [f'<span class="badge">{_headline(step)}</span>', *map(_text, step.sentences)]
    if step.announced_by is not None:
        parts.append(f"It was announced in {_link(step.announced_by)}.")
    if step.led_to:
        parts.append(
            f"The announced connection was opened in {', '.join(map(_link, step.led_to))}."
        )
    return "".join(f"<p>{part}</p>" for part in parts)


def _headline(step: Step) -> str:
    of = f"flow {step.flow}" if step.flow is not None else ""
    if step.kind is Kind.OPENED:
        data = step.conversation != step.flow
        return (
            f"{'Data connection' if data else 'Connection'} opened ({_text(step.protocol)}, {of})"
        )
    if step.kind is Kind.CLOSED:
        return f"End of {of}"
    if step.kind is Kind.OPEN:
        return f"Still open: {of}"
    if step.kind is Kind.DROPPED:
        many = f", {step.packets:,} packets" if step.packets > 1 else ""
        return f"Dropped ({_text(step.protocol) or 'packet'} from {step.source}{many})"
    if step.kind is Kind.EARLIER:
        many = "1 packet" if step.packets == 1 else f"{step.packets:,} packets"
        return f"Unknown connection ({_text(step.protocol)}, {many})"
    if step.kind is Kind.NOTE:
        return "Gateway"
    return f"{WORDS[step.outcome].capitalize()} ({_text(step.helper)}, {of}, from {step.source})"


def _link(step: int) -> str:
    return f'<a href="#step-{step}">step {step}</a>'
