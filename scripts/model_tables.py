"""Tables for docs/08-model-selection-guide.md, from the catalogue and the planner.

cog calls these functions; nothing here is typed in by hand.
"""

from __future__ import annotations

from collections.abc import Iterable

from stoker.models import KnownModel, find_known_model, model_catalogue


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table with a blank line after it."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n"


def avoid() -> str:
    """Models that the catalogue advises against, and why."""
    rows = [[f"`{m.name}`", m.avoid] for m in _by_size(m for m in model_catalogue() if m.avoid)]
    return markdown(["model", "why"], rows)


def scores() -> str:
    """What is known of how well models code, one benchmark a block."""
    scored = [(m, m.quality) for m in model_catalogue() if m.quality]
    scored.sort(key=lambda pair: (pair[1].benchmark, pair[1].score), reverse=True)
    rows = [
        [
            quality.benchmark,
            f"`{model.name}`",
            parameters(model),
            f"{quality.score:g} %",
            quality.by,
            f"[{quality.date}]({quality.source})",
        ]
        for model, quality in scored
    ]
    return markdown(["benchmark", "model", "parameters", "score", "measured by", "source"], rows)


def known() -> str:
    """Every model of the catalogue."""
    rows = [
        [
            f"`{m.name}`",
            f"[{m.id}](https://huggingface.co/{m.id})",
            parameters(m),
            context(m.max_context_tokens),
            ", ".join(m.purposes),
            m.tool_call_parser or "",
            m.license,
            m.confidence,
        ]
        for m in _by_size(model_catalogue())
    ]
    head = ["name", "on the hub", "parameters", "context", "for", "tool parser", "licence", "facts"]
    return markdown(head, rows)


def parameters(model: KnownModel) -> str:
    """``30.5B, 3.3B used`` or ``7.62B``."""
    total = _billions(model.parameters)
    if model.active_parameters is None:
        return total
    return f"{total}, {_billions(model.active_parameters)} used"


def context(tokens: int) -> str:
    """Tokens as people say them: 32K, 1M."""
    return f"{tokens // 1024}K" if tokens < 1024**2 else f"{tokens // 1024**2}M"


def named(name: str) -> KnownModel:
    """The model of the catalogue that ``name`` means."""
    return find_known_model(name)[0]


def _billions(count: int) -> str:
    return f"{count / 1e9:.3g}B" if count < 1e12 else f"{count / 1e12:.3g}T"


def _by_size(models: Iterable[KnownModel]) -> list[KnownModel]:
    return sorted(models, key=lambda m: m.parameters)
