"""``capabilities.infill`` is what the model can do: a coder fills gaps, a chat model does not."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Stoker

pytestmark = pytest.mark.engine
GAP: dict[str, Any] = {
    "input_prefix": "def add(a, b):\n    return ",
    "input_suffix": "\n",
    "n_predict": 8,
    "temperature": 0,
}


def claims(stoker: Stoker) -> list[bool]:
    """Of the model by its own name, and of its alias."""
    with urllib.request.urlopen(stoker.endpoint + "/v1/models") as response:
        return [entry["capabilities"]["infill"] for entry in json.load(response)["data"]]


def test_a_coder_advertises_infill_and_fills_in(stoker: Stoker, qwen: Path) -> None:
    stoker.up(str(qwen), "--context", "2048", "--parallel", "1")
    assert claims(stoker) == [True, True]
    assert "a + b" in stoker.post("/infill", GAP)["content"]
    assert "a + b" in stoker.post("/infill", {**GAP, "model": "local"})["content"]


def test_openais_form_is_answered_alike(stoker: Stoker, qwen: Path) -> None:
    """llama.cpp itself ignores ``suffix`` on this path."""
    stoker.up(str(qwen), "--context", "2048", "--parallel", "1")
    helper = {"filename": "shop.py", "text": "def price_with_tax(amount):\n    ...\n"}
    request = {
        "prompt": "from shop import price_with_tax\n\ntotal = price_",
        "suffix": "(12)\nprint(total)\n",
        "input_extra": [helper],
        "input_filename": "main.py",
        **{"max_tokens": 4, "temperature": 0},
    }
    answer = stoker.post("/v1/completions", request)
    assert answer["choices"][0]["text"].startswith("with_tax")


def test_text_beyond_what_the_engines_own_path_keeps_is_read(stoker: Stoker, qwen: Path) -> None:
    """A quarter of a batch of 2,048 tokens is all that llama.cpp keeps of a suffix."""
    stoker.up(str(qwen), "--context", "2048", "--parallel", "1")
    suffix = "\n# after" * 210
    (tokens,) = stoker.post("/tokenize", {"prompt": [suffix]})["counts"]
    answer = stoker.post("/infill", {**GAP, "input_suffix": suffix, "n_predict": 2})
    assert tokens > 2048 / 4
    assert tokens < answer["tokens_evaluated"] < tokens + 40


def test_a_model_without_the_tokens_advertises_no_infill(stoker: Stoker, smollm2: str) -> None:
    stoker.up(smollm2, "--context", "2048", "--parallel", "1")
    assert claims(stoker) == [False, False]
    with pytest.raises(urllib.error.HTTPError) as refused:
        stoker.post("/infill", GAP)
    assert refused.value.code == 400
    assert "qwen2.5-coder-0.5b and qwen2.5-coder-1.5b can" in refused.value.read().decode()
