"""Texts as tokens, counted in this process: Ollama has no path that does it.

The vocabulary is the model's own: of its file on this machine, or from ``/api/show``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stoker import network_addresses
from stoker.engines import http_json, text_pieces
from stoker.engines.base import Backend, InfillTokenizer
from stoker.models import ollama_file

if TYPE_CHECKING:
    import aiohttp
    from tokenizers import Tokenizer

#: A vocabulary is some MB of JSON.
_SHOW_S = 60.0


@dataclass(frozen=True, slots=True)
class VocabularyTokenizer:
    """``InfillTokenizer`` for prompts that are texts, with a vocabulary from a GGUF file.

    ``tokenizer`` is ``None`` for a kind of vocabulary that can't be counted exactly: then a byte
    counts as a token, and no prompt is longer than that.
    """

    names: Collection[str]
    tokenizer: Tokenizer | None

    async def tokens(self, text: str, *, special: bool) -> Sequence[str]:
        """The pieces of a text, a token each."""
        if special and text in self.names:
            return [text]
        if self.tokenizer is None:
            return [piece for char in text for piece in (char, *[""] * (len(char.encode()) - 1))]
        import asyncio  # noqa: PLC0415  (a plan asks no server)

        encoded = await asyncio.to_thread(self.tokenizer.encode, text, add_special_tokens=False)
        return text_pieces.pieces(text, encoded.offsets)

    async def begin(self) -> Sequence[int]:
        """Nothing: Ollama adds it by itself."""
        return []


async def tokenizer(http: aiohttp.ClientSession, backend: Backend, model: str) -> InfillTokenizer:
    """The tokenizer of a model. Raises ``aiohttp.ClientError`` and ``StokerError``."""
    import asyncio  # noqa: PLC0415

    is_here = network_addresses.is_loopback(urlsplit(backend.url).hostname or "")
    path = ollama_file(model) if is_here else None
    if path is not None:
        from stoker.tokens.counting.gguf_vocab import read_metadata  # noqa: PLC0415

        return await asyncio.to_thread(lambda: _built(read_metadata(path), model))
    body = {"model": model, "verbose": True}
    shown = await http_json.post(http, backend, "/api/show", body, within_s=_SHOW_S)
    return await asyncio.to_thread(_built, shown.get("model_info") or {}, model)


def _built(metadata: Mapping[str, Any], model: str) -> VocabularyTokenizer:
    from stoker.tokens import TokenizerError  # noqa: PLC0415  (the tokenizer's libraries)
    from stoker.tokens.counting.gguf_vocab import vocabulary_of  # noqa: PLC0415

    names = frozenset(metadata.get("tokenizer.ggml.tokens") or ())
    try:
        return VocabularyTokenizer(names, vocabulary_of(metadata, model).tokenizer())
    except (TokenizerError, LookupError, TypeError, ValueError):
        return VocabularyTokenizer(names, None)
