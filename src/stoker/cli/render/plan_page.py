"""The HTML page of ``stoker plan``."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from stoker.cli.render import html_page
from stoker.cli.render.output import size
from stoker.planning import Interval, Plan

_STYLE = """
.bar{display:flex;height:2rem;border-radius:.4rem;overflow:hidden;background:var(--f)}
.bar i{display:block;height:100%}
.w{background:var(--w)}.k{background:var(--k)}.a{background:var(--a)}.g{background:var(--g)}
.key{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;margin:.5rem 0}
.key b{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin-right:.4rem}
.key b.f{background:var(--f)}
.range{position:relative;height:.7rem;background:#8883;
border-radius:.35rem;margin:.3rem 0}.range i{position:absolute;height:100%;border-radius:.35rem;
background:var(--w);opacity:.6}.range u{position:absolute;width:3px;height:100%;background:#000}
@media(prefers-color-scheme:dark){.range u{background:#fff}}
"""


def plan_page(title: str, plans: Sequence[Plan]) -> str:
    """The page: all plans in a table, then each with its memory, speed and arguments."""
    sections = "".join(_section(plan) for plan in plans)
    return html_page.document("plan", title, _STYLE, _overview(plans) + sections)


def _overview(plans: Sequence[Plan]) -> str:
    rows = "".join(
        f"<tr><td>{escape(plan.model.id)}<td>{escape(plan.model.quantization or '')}"
        f"<td>{escape(plan.engine)}<td class=n>{plan.max_model_len:,}"
        f"<td class=n>{plan.decode_tokens_per_s or 0:.0f}"
        for plan in plans
    )
    return (
        "<table><tr><th>Model<th>Weights<th>Engine<th class=n>Context<th class=n>Tokens/s"
        f"{rows}</table>"
    )


def _section(plan: Plan) -> str:
    reasons = "".join(f"<li>{escape(reason)}" for reason in plan.reasons)
    rows = "".join(
        f"<tr><td><code>{escape(a.name)}</code><td><code>{escape(str(a.value))}</code>"
        f"<td>{escape(a.reason)}"
        for a in plan.arguments
    )
    return (
        f"<section><h2>{escape(plan.model.id)}</h2>{_memory(plan)}{_speed(plan)}"
        f"<ul>{reasons}</ul><table><tr><th>Argument<th>Value<th>Why{rows}</table></section>"
    )


def _memory(plan: Plan) -> str:
    memory = plan.memory
    whole = memory.device_bytes or memory.budget_bytes
    parts = [
        ("w", "weights", memory.weights_bytes),
        ("k", "KV cache", memory.kv_cache_bytes),
        ("a", "activations", memory.overhead_bytes - memory.graphs_bytes),
        ("g", "graphs", memory.graphs_bytes),
    ]
    free = max(0, whole - sum(count for _, _, count in parts))
    bars = "".join(
        f'<i class={css} style="width:{100 * count / whole:.2f}%" title="{name}"></i>'
        for css, name, count in parts
    )
    key = "".join(
        f"<span><b class={css}></b>{name} {size(count)}</span>"
        for css, name, count in (*parts, ("f", "free", free))
        if count
    )
    each = " on each GPU" if plan.gpus > 1 else ""
    return (
        f"<p>{size(whole)} of memory{each}</p><div class=bar>{bars}</div><div class=key>{key}</div>"
    )


def _speed(plan: Plan) -> str:
    if plan.speed is None:
        return ""
    first, token = plan.speed.first_token_s, plan.speed.token_s
    return (
        f"<p>First token after {first.expected:.2f} s ({first.low:.2f} to {first.high:.2f})</p>"
        f"{_range(first)}<p>{1000 * token.expected:.1f} ms for each token "
        f"({1000 * token.low:.1f} to {1000 * token.high:.1f})</p>{_range(token)}"
    )


def _range(interval: Interval) -> str:
    """The prediction and its interval, on a scale from 0 to twice the prediction."""
    scale = 50 / interval.expected
    left, right = interval.low * scale, min(100.0, interval.high * scale)
    return (
        f'<div class=range><i style="left:{left:.1f}%;width:{right - left:.1f}%"></i>'
        '<u style="left:50%"></u></div>'
    )
