"""Positions to complete at, of every awkward kind, and what must hold for each with a real engine.

The count before is the engine's count, no token of a person's text is a special one, and the text
at the cursor is the person's, character for character.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from tokenizers import Tokenizer

from stoker import engines
from stoker.engines import Backend
from stoker.gateway.prompt.infill_prompts import InfillPrompts
from stoker.gateway.prompt.infill_request import FillRequest
from stoker.tokens.infill import FORMS

_NAMES = [name for form in FORMS for name in form.names]
_PIECES = (
    *("def add(a, b):\n    return a + b\n", "if (x) {\r\n\tcall();\r\n}\r\n", "\t\t\tx\r\n"),
    *("\n\n\n", "\r", " \t \t\n", "# \u05e9\u05dc\u05d5\u05dd \u202eabc\u202c\n"),
    *("// \u0645\u0631\u062d\u0628\u0627 \u2067\u0628\u0627\u0644\u2069\n", "\u4f60\u597d\n"),
    *("\U0001f642\U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469", "\U0001d4b3 = 1\n"),
    *("e\u0301a\u0308\u200b\u200d\ufeff", "\u2591\u2592\u2593" * 9, "\u263a", "\u2581"),
    *("<", "<|", "|>", "fim_", "prefix", "<\uff5c", "[PRE", "FIX]"),
)


def positions(count: int, seed: int = 19) -> Iterator[FillRequest]:
    """So many requests, some of them with other files."""
    rng = random.Random(seed)
    source = Path(__file__).read_text(encoding="utf-8")
    for number in range(count):
        text = _text(rng) if number % 5 else source + _text(rng)
        cursor = rng.randrange(len(text) + 1)
        extras = tuple((f"{n}{_text(rng, 2)}.py", _text(rng)) for n in range(number % 3))
        name = rng.choice(("", "src/main.py", "<|file_sep|>x.py"))
        yield FillRequest(text[:cursor], text[cursor:], extras, name)


def _text(rng: random.Random, most: int = 40) -> str:
    kinds = (_NAMES, _PIECES)
    return "".join(rng.choice(rng.choice(kinds)) for _ in range(rng.randrange(1, most)))


@dataclass(frozen=True)
class Outcome:
    """What a run has seen."""

    positions: int
    names_in_texts: int
    cut: int


async def all_hold(
    backend: Backend,
    model: str,
    tokenizer: Tokenizer,
    count: int,
    room_tokens: int,
    seed: int = 19,
) -> Outcome:
    """Ask for one token at each position, and check what must hold."""
    api = engines.lookup(backend.engine).infill
    assert api is not None and api.takes_ids
    names = cut = 0
    # uvicorn closes a connection that was idle for 5 s.
    connector = aiohttp.TCPConnector(keepalive_timeout=2)
    async with aiohttp.ClientSession(connector=connector) as http:
        prompts = await InfillPrompts.learn(api, await api.tokenizer(http, backend, model))
        assert prompts is not None
        ids_of = {name: tokenizer.token_to_id(name) for name in prompts.form.names}
        special = {name: token for name, token in ids_of.items() if token is not None}
        for fill in positions(count, seed):
            written = await prompts.write(fill, room_tokens)
            ids = written.prompt
            assert isinstance(ids, list) and len(ids) == written.tokens <= room_tokens
            body = {"model": model, "prompt": ids, "max_tokens": 1, "temperature": 0}
            async with http.post(backend.url + "/v1/completions", json=body) as response:
                answer = await response.json()
            assert response.status == 200, answer
            assert answer["usage"]["prompt_tokens"] == written.tokens
            _check(prompts, tokenizer, ids, special, fill, is_cut=written.cuts != "none")
            names += any(name in fill.prefix + fill.suffix for name in prompts.form.names)
            cut += written.cuts != "none"
    return Outcome(count, names, cut)


def _check(
    prompts: InfillPrompts,
    tokenizer: Tokenizer,
    ids: list[int],
    special: dict[str, int],
    fill: FillRequest,
    *,
    is_cut: bool,
) -> None:
    form, marks = prompts.form, prompts.form.marks
    at = {mark: ids.index(special[mark]) for mark in (form.prefix, form.suffix)}
    found = [token for token in ids if token in special.values()]
    assert set(found) <= {special[mark] for mark in marks}
    for mark in (form.prefix, form.suffix, form.middle):
        assert mark is None or found.count(special[mark]) == 1
    before = tokenizer.decode(ids[at[form.prefix] + 1 : at[form.suffix]], skip_special_tokens=False)
    after = tokenizer.decode(ids[at[form.suffix] + 1 : -1], skip_special_tokens=False)
    # vLLM composes characters (NFC), as Qwen's tokenizer wants it; llama.cpp does not.
    before, after, prefix, suffix = (
        unicodedata.normalize("NFC", text) for text in (before, after, fill.prefix, fill.suffix)
    )
    if not is_cut:
        assert (before, after) == (prefix, suffix)
    # A cut may leave a part of a character's bytes at the far end, and nowhere else.
    assert prefix.endswith(before.lstrip("\ufffd"))
    assert suffix.startswith(after.rstrip("\ufffd"))
