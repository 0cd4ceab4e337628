"""Local counts against real llama.cpp, over texts and conversations of every kind."""

from __future__ import annotations

import json
import random
import unicodedata
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.agent import agent_request, growing_conversation

from stoker.tokens import LocalTokenizer, Overheads, growth_bound

pytestmark = pytest.mark.engine
xllamacpp = pytest.importorskip("xllamacpp")

#: llama.cpp cuts between characters that Unicode has not assigned, and SmolLM2's vocabulary
#: lacks some control characters: neither stands in a text that people send.
_UNLIKE = frozenset({"Cn", "Cc", "Cs", "Co"})
_ALPHABETS = (
    "abc def ghi JKL 0123456789 .,;:!?'\"()[]{}<>/\\|@#$%^&*-_=+~`",
    " \t\n\r\n\n   \x0b\x0c\xa0\u2003\u3000",
    "äöüßéèñçåøœ ÀÉÎÕÜ ǆ ﬁ ½ ² ³ ① Ⅷ",
    "你好世界漢字かなカナ한국어",
    "приветмирЁё ابجدهوز אבגדה हिन्दी ไทย",
    "🙂👍🏽👨‍👩‍👧‍👦🇩🇪❤️‍🔥 e\u0301 a\u0308 \u200b\u200d\ufeff",
    "don't I'LL we've it's 'S 'Tis x'd",
)


class Engine:
    """A real llama.cpp server, and a local tokenizer of the same file."""

    def __init__(self, path: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = 32768
        params.n_parallel = 1
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.use_jinja = True
        params.warmup = False
        self.server = xllamacpp.Server(params)
        self.local = LocalTokenizer.from_gguf(path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.server.listening_address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            return json.load(response)


@pytest.fixture(scope="module", params=["smollm2", "qwen"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield Engine(Path(request.getfixturevalue(request.param)))


def _texts(count: int) -> Iterator[str]:
    rng = random.Random(5)
    everything = "".join(_ALPHABETS)
    for _ in range(count):
        alphabet = rng.choice((*_ALPHABETS, everything))
        yield "".join(rng.choices(alphabet, k=rng.randrange(1, 120)))
        tops = (rng.choice((0x7F, 0x7FF, 0xFFFF, 0x10FFFF)) for _ in range(30))
        characters = (chr(rng.randrange(1, top)) for top in tops)
        yield "".join(c for c in characters if unicodedata.category(c) not in _UNLIKE)
    for path in sorted(Path(__file__).parents[2].rglob("src/**/*.py"))[:40]:
        yield path.read_text(encoding="utf-8")


def test_texts_have_the_same_tokens(engine: Engine) -> None:
    for text in _texts(400):
        theirs = engine.post("/tokenize", {"content": text, "parse_special": True})["tokens"]
        assert engine.local.count_strings([text]) == [len(theirs)], repr(text)


def _conversations() -> Iterator[dict[str, Any]]:
    texts = list(_texts(60))[:100]
    for start in range(0, 90, 6):
        roles = ("user", "assistant", "user", "assistant", "user")
        messages = [
            {"role": role, "content": text}
            for role, text in zip(roles, texts[start : start + 5], strict=True)
        ]
        yield {"messages": messages}
        yield {"messages": [{"role": "system", "content": texts[start + 5]}, *messages]}


def test_conversations_have_the_same_tokens(engine: Engine) -> None:
    for request in _conversations():
        theirs = engine.post("/v1/chat/completions/input_tokens", request)["input_tokens"]
        assert engine.local.count_request(request) == theirs


def test_agent_requests_have_the_same_tokens(engine: Engine) -> None:
    if "tools" not in engine.local.template.source:  # type: ignore[union-attr]
        pytest.skip("the template renders no tools")
    for request in (agent_request(), *growing_conversation(6)):
        theirs = engine.post("/v1/chat/completions/input_tokens", request)["input_tokens"]
        assert engine.local.count_request(request) == theirs


def test_what_was_read_and_the_bytes_of_what_was_added_bound_the_next_prompt(
    engine: Engine,
) -> None:
    texts = [text[:80] for text in _texts(40)][:80]
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}]
    prompts = []
    for asked, reply in zip(texts[::2], texts[1::2], strict=True):
        messages.append({"role": "user", "content": asked})
        body = {"messages": list(messages)}
        used = engine.post("/v1/chat/completions/input_tokens", body)["input_tokens"]
        prompts.append((len(messages), used))
        messages.append({"role": "assistant", "content": reply})
    for known, read in prompts[1:]:
        growth = growth_bound(body, known, Overheads())
        assert growth is not None
        assert used <= read + growth


def test_the_whole_prompt_is_reported_though_almost_all_of_it_comes_from_the_cache(
    engine: Engine,
) -> None:
    body = {"messages": [{"role": "user", "content": "word " * 40}], "max_tokens": 1}
    first, again = (engine.post("/v1/chat/completions", body)["usage"] for _ in range(2))
    assert again["prompt_tokens"] == first["prompt_tokens"] > 40
    assert again["prompt_tokens_details"]["cached_tokens"] > 30
