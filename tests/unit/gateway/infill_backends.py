"""Servers of five engines that serve the same model, by their published APIs, and count alike.

A character is a token, and so is each name of a special token. What reached them is kept.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from tests.unit.gateway.backends import MODEL, Front, front

from stoker.engines import Backend, ServedModel
from stoker.gateway import FitSettings, Gateway, Served

WINDOW = 2048
#: A model's special tokens; all else is a character a token.
QWEN = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>",
        "<|endoftext|>", "<|fim_pad|>", "<tool_call>")  # fmt: skip
CODESTRAL = ("[PREFIX]", "[SUFFIX]", "[MIDDLE]", "<s>", "</s>", "[INST]")
ANSWER = "return a\n"
_FIRST_CHARACTER = 1000


@dataclass
class Server:
    """One server, whatever engine it is."""

    engine: str
    names: Sequence[str] = QWEN
    #: What its tokenizer puts before every text.
    begin: str = ""
    status: int = 200
    #: Answered in place of tokens.
    tokenized: Any = None
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if request.path in ("/tokenize", "/v1/tokenize"):
            found = self._tokenized(body) if self.tokenized is None else self.tokenized
            return web.json_response(found)
        if request.path == "/api/show":
            return web.json_response({"model_info": self._gguf()})
        self.sent.append((request.path, body))
        if self.status != 200:
            error = {"message": "The engine is not well."}
            return web.json_response({"error": error}, status=self.status)
        if request.path == "/api/generate":
            return await self._ollama(request, body)
        if request.path == "/completion":
            return web.json_response({"content": ANSWER, "stop": True})
        return await self._openai(request, body)

    @property
    def read(self) -> str:
        """The prompt that the model read last, special tokens by their names."""
        prompt = self.sent[-1][1]["prompt"]
        return prompt if isinstance(prompt, str) else "".join(map(self._piece, prompt))

    @property
    def read_tokens(self) -> list[str]:
        """The same, a token each."""
        prompt = self.sent[-1][1]["prompt"]
        return self._pieces(prompt) if isinstance(prompt, str) else list(map(self._piece, prompt))

    def _piece(self, token: int) -> str:
        return self.names[token] if token < _FIRST_CHARACTER else chr(token - _FIRST_CHARACTER)

    def _pieces(self, text: str, *, special: bool = True) -> list[str]:
        names = "|".join(map(re.escape, self.names))
        return re.findall(f"{names}|.", text, re.DOTALL) if special else list(text)

    def _ids(self, text: str, *, special: bool = True) -> list[int]:
        pieces = self._pieces(text, special=special)
        return [self.names.index(p) if len(p) > 1 else ord(p) + _FIRST_CHARACTER for p in pieces]

    def _tokenized(self, body: dict[str, Any]) -> Any:
        if self.engine == "tgi":
            spans, at = [{"id": 1, "text": "", "start": 0, "stop": 0}], 0
            for piece in self._pieces(body["inputs"]):
                spans.append({"id": 2, "text": piece, "start": at, "stop": at + len(piece)})
                at += len(piece)
            return spans
        text = str(body.get("content", body.get("prompt")))
        adds = body.get("add_special", body.get("add_special_tokens"))
        special = body.get("parse_special", True)
        begin = self._ids(self.begin) if adds else []
        return {"tokens": begin + self._ids(text, special=special)}

    def _gguf(self) -> dict[str, Any]:
        """A vocabulary of single bytes, as GPT-2's alphabet writes them, and the special tokens."""
        from tokenizers import pre_tokenizers  # noqa: PLC0415

        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokens = [*alphabet, *self.names]
        return {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "qwen2",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [1] * len(alphabet) + [3] * len(self.names),
            "tokenizer.ggml.merges": [],
        }

    async def _openai(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        usage = {"prompt_tokens": len(self.read_tokens), "completion_tokens": 3}
        if not body.get("stream"):
            choice = {"index": 0, "text": ANSWER, "finish_reason": "stop"}
            return web.json_response({"id": "c", "choices": [choice], "usage": usage})
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "text": piece, "finish_reason": None}]}
            for piece in ANSWER.split(" ")
        ]
        chunks.append({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
        if body.get("stream_options"):
            chunks.append({"choices": [], "usage": usage})
        events = [b"data: " + orjson.dumps(each) + b"\n\n" for each in chunks]
        return await _streamed(request, [*events, b"data: [DONE]\n\n"], "text/event-stream")

    async def _ollama(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        counts = {"prompt_eval_count": len(self.read_tokens), "eval_count": 3}
        last = {"model": MODEL, "done": True, "done_reason": "length", **counts}
        if not body["stream"]:
            return web.json_response({**last, "response": ANSWER})
        lines = [{"model": MODEL, "response": p, "done": False} for p in ANSWER.split(" ")]
        data = b"".join(orjson.dumps(each) + b"\n" for each in (*lines, {**last, "response": ""}))
        halves = [data[:70], data[70:]]  # a line comes in two pieces
        return await _streamed(request, halves, "application/x-ndjson")


async def _streamed(request: web.Request, pieces: Sequence[bytes], kind: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": kind})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    return response


@contextlib.asynccontextmanager
async def in_front_of(
    server: Server, settings: FitSettings | None = None, window: int | None = WINDOW
) -> AsyncIterator[Front]:
    """The gateway in front of it."""
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway = Gateway()
    model = ServedModel(MODEL, max_model_len=window, takes_suffix=False)
    backend = Backend(f"http://127.0.0.1:{runner.addresses[0][1]}", server.engine)
    gateway.serve([Served(backend, [model], settings or FitSettings())])
    async with front(gateway) as door:
        yield door
    await runner.cleanup()
