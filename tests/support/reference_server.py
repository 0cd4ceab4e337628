"""A small OpenAI-compatible server that does everything right, and one thing wrong on demand.

Its model is made up: a token is a word or a punctuation mark, and its answers depend on the request
only. The protocol is real, in everything that the checks look at.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from aiohttp import web
from tests.support.background_server import BackgroundServer

MODEL = "reference"
KEY = "the-right-key"
WINDOW = 768
#: Answers that are generated at the same time; further ones wait.
SLOTS = 2
T = TypeVar("T")
_TOKEN = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
#: A story that is longer than the window.
_STORY_WORDS = WINDOW + 2
_UTF8 = re.compile(r"Repeat exactly, and nothing else: (.*)", re.DOTALL)


class RefusalError(Exception):
    """A request that is refused, with its status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ReferenceServer(BackgroundServer):
    """The server, with ``fault`` as the one thing that it does wrong.

    ``token_s`` is the time that it takes to write a token.
    """

    def __init__(self, fault: str | None = None, *, token_s: float = 0.001) -> None:
        super().__init__()
        self.fault = fault
        self.token_s = token_s
        self._answers = 0
        self._slots = asyncio.Semaphore(SLOTS)
        #: Work that no request waits for any more.
        self.background: set[asyncio.Future[None]] = set()

    def _has(self, fault: str) -> bool:
        return self.fault == fault

    # Routes

    def app(self) -> web.Application:
        app = web.Application(client_max_size=self._most_bytes(), middlewares=[self._guard])
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completion)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_post("/tokenize", self._tokenize)
        return app

    def _most_bytes(self) -> int:
        return 2**25 if self._has("a window without end") else 512 * 1024

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            self._check_key(request)
            answer: web.StreamResponse = await handler(request)
        except RefusalError as refusal:
            return self._refused(refusal.status, str(refusal))
        except web.HTTPRequestEntityTooLarge:
            return self._refused(500 if self._has("large body is 500") else 413, "It is too large.")
        except web.HTTPNotFound:
            if self._has("unknown path is 200") and request.method == "GET":
                return web.Response(text="<html>Welcome</html>", content_type="text/html")
            return self._refused(404, "There is nothing here.")
        if self._has("closes connections"):
            answer.force_close()
        return answer

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get("Authorization")
        if given == f"Bearer {KEY}" or request.path == "/health":
            return
        if self._has("wrong key is 403") and given:
            raise RefusalError(403, "Forbidden.")
        if not (self._has("chat needs no key") and request.path.endswith("completions")):
            raise RefusalError(401, "The key is missing or wrong.")

    def _refused(self, status: int, reason: str) -> web.Response:
        if self._has("error is a text"):
            return web.Response(status=status, text=reason)
        body = {"error": {"message": reason, "type": "invalid_request_error", "code": None}}
        return web.json_response(body, status=status)

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=500 if self._has("health is 500") else 200)

    async def _models(self, _: web.Request) -> web.Response:
        window = WINDOW * 2 if self._has("wrong context advertised") else WINDOW
        entry = {"id": MODEL, "object": "model", "created": 1, "owned_by": "tests"}
        if not self._has("no context advertised"):
            entry["max_model_len"] = window
        entries = [entry, entry] if self._has("model listed twice") else [entry]
        kind = "models" if self._has("list of another shape") else "list"
        return web.json_response({"object": kind, "data": entries})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        count = _prompt_tokens(body) + self._has("tokenize off by one")
        if self._has("tokenize leaves tools out"):
            count = _prompt_tokens({**body, "tools": None})
        return web.json_response({"count": count, "max_model_len": WINDOW})

    async def _embeddings(self, request: web.Request) -> web.Response:
        if self._has("embeddings are 500"):
            raise RefusalError(500, "No.")
        texts = (await _read(request))["input"]
        data = [{"index": i, "embedding": [0.1, 0.2]} for i in range(len(texts))]
        return web.json_response({"object": "list", "data": data})

    # Chat

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._checked(request)
        if refusal := self._crowded(body):
            return refusal
        if self._has("long prompts are read for ever") and _prompt_tokens(body) > WINDOW / 2:
            await asyncio.Event().wait()
        answer = _Answer(self, body, self._plan(body))
        if body.get("stream"):
            return await answer.stream(request)
        return await answer.whole()

    async def _text_body(self, request: web.Request) -> str:
        body = await request.read()
        return body.decode("latin-1" if self._has("body read as Latin-1") else "utf-8")

    def _crowded(self, body: Mapping[str, Any]) -> web.Response | None:
        """Refuse one of several simultaneous requests."""
        reason = _text_of(body["messages"][-1])
        if self._has("busy at eight") and reason == "Say 7.":
            return web.Response(status=429, headers={"Retry-After": "1"})
        return (
            web.Response(status=500) if self._has("fails at 32") and reason == "Say 31." else None
        )

    async def _checked(self, request: web.Request) -> dict[str, Any]:
        try:
            body: dict[str, Any] = json.loads(await self._text_body(request))
        except ValueError:
            raise RefusalError(500 if self._has("bad JSON is 500") else 400, "Not JSON.") from None
        if self._has("bad request streamed") and body.get("messages") == "none":
            return {**body, "messages": [{"role": "user", "content": "Hi"}]}
        self._check_shape(body)
        self._refuse_too_much(body)
        self._drop(body)
        self._check_length(body)
        return body

    def _check_shape(self, body: dict[str, Any]) -> None:
        messages = body.get("messages")
        if not messages:
            raise RefusalError(500 if self._has("no messages is 500") else 400, "No messages.")
        if isinstance(messages, str):
            raise RefusalError(400, "messages must be a list.")
        if not isinstance(body.get("max_tokens", 1), int | None) and not self._has("types unread"):
            raise RefusalError(400, "max_tokens must be a number.")
        if body.get("model") != MODEL and not self._has("any model answers"):
            raise RefusalError(404, "There is no such model.")
        if _images(body) and not self._has("image dropped"):
            raise RefusalError(400, "This model reads no images.")
        if body.get("n", 1) > 1 and not self._has("n ignored"):
            raise RefusalError(400, "n must be 1.")

    def _refuse_too_much(self, body: dict[str, Any]) -> None:
        """Refuse what a correct server accepts."""
        refused = {
            "unknown fields refused": "stoker_check" in body,
            "null refused": "stop" in body and body["stop"] is None,
            "system refused": body["messages"][0]["role"] == "system",
            "40 tools refused": len(body.get("tools") or []) >= 40,
        }
        if refused.get(self.fault or "", False):
            raise RefusalError(400, f"Not permitted: {self.fault}.")

    def _drop(self, body: dict[str, Any]) -> None:
        """Leave out of the prompt what a correct server renders."""
        messages = body["messages"]
        if self._has("earlier turns dropped") and len(messages) == 3 and not body.get("tools"):
            body["messages"] = messages[-1:]
        if self._has("parts are printed"):
            for message in messages:
                content = message.get("content")
                message["content"] = str(content) if isinstance(content, list) else content
        if self._has("results dropped"):
            body["messages"] = [m for m in messages if m["role"] != "tool"]

    def _check_length(self, body: dict[str, Any]) -> None:
        prompt = _prompt_tokens(body)
        if self._has("a window without end"):
            return
        if prompt >= WINDOW and self._has("overflow is 500"):
            raise RefusalError(500, "CUDA error")
        if prompt >= WINDOW and not self._has("prompt cut silently"):
            reason = (
                "Too long."
                if self._has("overflow without numbers")
                else (f"The context is {WINDOW} tokens long, and the prompt {prompt}.")
            )
            raise RefusalError(400, reason)
        asked = _asked(body)
        if self._has("whole window refused") and asked and prompt + asked > WINDOW:
            raise RefusalError(400, f"max_tokens must be at most {WINDOW - prompt}.")
        if asked == WINDOW + 1 and self._has("over the window is 500"):
            raise RefusalError(500, "Internal error")
        if asked == 0 and not self._has("zero is endless"):
            raise RefusalError(400, "max_tokens must be at least 1.")

    def _plan(self, body: dict[str, Any]) -> dict[str, Any]:
        """The model's answer to a request: a text, or tool calls."""
        tools, how = body.get("tools") or [], body.get("tool_choice", "auto")
        last = body["messages"][-1]
        wants = tools and how != "none" and last["role"] != "tool" and len(tools) < 40
        if self._has("none is not heeded") and tools and last["role"] != "tool":
            wants = len(tools) < 40
        if not wants or str(last["content"]) == "Hi":
            return {"text": self._text(body)}
        return {"calls": self._calls(body, tools, how)}

    def _calls(
        self, body: dict[str, Any], tools: Sequence[Mapping[str, Any]], how: Any
    ) -> list[dict[str, Any]]:
        name = tools[0]["function"]["name"]
        if isinstance(how, dict) and not self._has("named tool not heeded"):
            name = how["function"]["name"]
        names = ["get_weather", "get_time"] if "both now" in str(body["messages"]) else [name]
        field = next(iter(tools[0]["function"]["parameters"]["properties"]), "x")
        city = "Oslo" if self._has("schema not heeded") and how == "required" else "Paris"
        arguments: Any = {field: city}
        if not self._has("arguments are an object"):
            arguments = json.dumps(arguments)
        one_id = "call_1" if self._has("parallel calls share an id") else None
        return [self._call(name, arguments, one_id or f"call_{i}") for i, name in enumerate(names)]

    def _call(self, name: str, arguments: Any, number: str) -> dict[str, Any]:
        call = {"type": "function", "function": {"name": name, "arguments": arguments}}
        return call if self._has("tool ids missing") else {"id": number, **call}

    def _text(self, body: dict[str, Any]) -> str:
        form = body.get("response_format") or {}
        text = str(_text_of(body["messages"][-1]))
        echo = _UTF8.search(text)
        if echo:
            return echo[1]
        if form.get("type") == "json_object":
            return "ok: yes" if self._has("json_object ignored") else '{"ok": true}'
        if form.get("type") == "json_schema":
            kind = "bug" if self._has("json_schema ignored") else "fix"
            return json.dumps({"kind": kind, "breaking": False})
        if "story" in text:
            self._answers += 1
            rotate = self._answers if self._has("seed ignored") and "seed" in body else 0
            words = [_NUMBERS[(i + rotate) % len(_NUMBERS)] for i in range(_STORY_WORDS)]
            return " ".join(words)
        if "prime" in text and self._has("thoughts in the answer"):
            return "<think>7 times 13</think>No."
        return "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12." if "Count" in text else "Hello to you."

    # Completions

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        if self._has("completions are 500"):
            raise RefusalError(500, "No.")
        body = await _read(request)
        if body.get("suffix") and not self._has("suffix ignored"):
            raise RefusalError(400, "There is no fill-in-the-middle.")
        chat = {**body, "messages": [{"role": "user", "content": body["prompt"]}]}
        answer = _Answer(self, chat, {"text": "a + b"}, chat=False)
        return await (answer.stream(request) if body.get("stream") else answer.whole())

    def slots(self) -> asyncio.Semaphore:
        """Where writing waits for its turn."""
        return self._slots


class _Answer:
    """One answer, whole or streamed."""

    def __init__(
        self,
        server: ReferenceServer,
        body: dict[str, Any],
        plan: dict[str, Any],
        *,
        chat: bool = True,
    ) -> None:
        self._server = server
        self._has = server._has
        self._body = body
        self._chat = chat
        self._calls: list[dict[str, Any]] = plan.get("calls") or []
        if self._has("tools dropped") and len(body.get("tools") or []) == 2:
            body = {**body, "tools": None}
        self._prompt = _prompt_tokens(body)
        if self._has("prompt cut silently"):
            self._prompt = min(self._prompt, WINDOW - 1)
        tokens = _TOKEN.findall(plan.get("text") or "x")
        limit = _asked(body) or WINDOW
        if self._has("new name ignored") and "max_completion_tokens" in body:
            limit = WINDOW
        if self._has("small default") and _asked(body) is None:
            limit = 16
        limit = min(limit, WINDOW - self._prompt)
        self.finish = "length" if len(tokens) > limit and not self._calls else "stop"
        self._tokens = [] if self._calls else tokens[:limit]
        self._cut_at_stop(tokens)
        if self._calls:
            kind = "streamed calls" if body.get("stream") else "calls"
            self.finish = "stop" if self._has(f"{kind} finish with stop") else "tool_calls"

    def _cut_at_stop(self, tokens: Sequence[str]) -> None:
        stops = self._body.get("stop") or []
        text = "".join(self._tokens)
        for stop in [stops] if isinstance(stops, str) else stops:
            if stop not in text:
                continue
            if self._has(
                f"stop {'in streams' if self._body.get('stream') else 'in answers'} ignored"
            ):
                continue
            text = text[: text.index(stop)]
            self._tokens, self.finish = _TOKEN.findall(text), "stop"

    def _usage(self, *, streamed: bool = False) -> dict[str, int]:
        written = len(self._tokens) + 5 * len(self._calls)
        written -= self._has("completion usage off by one")
        prompt = self._prompt + 3 * (self._has("streamed prompt counts differ") and streamed)
        total = prompt + written + self._has("total does not add up")
        return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": total}

    async def whole(self) -> web.Response:
        await self._go_on("whole answer goes on when left", self._write_all())
        return web.json_response(self._whole())

    async def _write_all(self) -> None:
        async with self._server.slots():
            await asyncio.sleep(self._server.token_s * len(self._tokens))

    async def _go_on(self, fault: str, writing: Coroutine[Any, Any, T]) -> T:
        """Write; with the ``fault``, continue after the client has left."""
        try:
            return await writing
        except (asyncio.CancelledError, ConnectionError):
            if self._has(fault):
                self._server.background.add(asyncio.ensure_future(self._write_all()))
            raise

    def _whole(self) -> dict[str, Any]:
        text = "".join(self._tokens)
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.finish}
        if self._has("one token finishes with stop") and _asked(self._body) == 1:
            choice["finish_reason"] = "stop"
        if self._has("finish reason missing") and "Say hello" in str(self._body):
            choice["finish_reason"] = None
        if not self._chat:
            return self._envelope("text_completion", [{**choice, "text": text}], self._usage())
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if self._calls and self._has("call stands in the text") and self._auto:
            function = self._calls[0]["function"]
            arguments = json.loads(function["arguments"])
            message["content"] = json.dumps({"name": function["name"], "arguments": arguments})
        elif self._calls:
            message = {"role": "assistant", "content": None, "tool_calls": self._calls}
        if self._body.get("logprobs"):
            value = 0.5 if self._has("log probabilities above 0") else -0.5
            choice["logprobs"] = {"content": [{"token": "x", "logprob": value}]}
        if self._has("answer is empty") and "Say hello" in str(self._body):
            message["content"] = ""
        return self._envelope("chat.completion", [{**choice, "message": message}], self._usage())

    @property
    def _auto(self) -> bool:
        return bool(self._body.get("tool_choice", "auto") == "auto")

    def _envelope(
        self, kind: str, choices: list[dict[str, Any]], usage: dict[str, int] | None
    ) -> dict[str, Any]:
        name = "another" if self._has("answers as another model") else MODEL
        value: dict[str, Any] = {"id": "a1", "object": kind, "created": 1, "model": name}
        return {**value, "choices": choices, **({"usage": usage} if usage else {})}

    # Streams

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "text/plain" if self._has("stream is text") else "text/event-stream"
        await response.prepare(request)
        await self._go_on("stream goes on when left", self._send(response))
        await response.write_eof()
        return response

    async def _send(self, response: web.StreamResponse) -> None:
        held = b""
        async for event in self._events():
            if self._has("stream is buffered"):
                held += event
            else:
                await response.write(event)
        if held:
            await response.write(held)

    async def _events(self) -> AsyncIterator[bytes]:
        async with self._server.slots():
            if self._chat:
                role = {} if self._has("role missing") else {"role": "assistant"}
                yield self._event({**role, "content": ""})
            async for delta in self._deltas():
                yield self._event(delta)
            yield self._event({}, finish=self.finish)
            if self._has("two finish reasons"):
                yield self._event({}, finish=self.finish)
        async for event in self._tail():
            yield event

    async def _deltas(self) -> AsyncIterator[dict[str, Any]]:
        if self._has("stream brings no text") and "stream_options" in self._body:
            return
        for token in self._tokens:
            await asyncio.sleep(self._server.token_s)
            yield {"content": token}
        for index, call in enumerate(self._calls):
            number = {} if self._has("call index missing") else {"index": index}
            given = call["function"]["arguments"]
            arguments = given if isinstance(given, str) else json.dumps(given)
            half = len(arguments) // 2
            head = {"name": call["function"]["name"], "arguments": ""}
            ids = {"id": call["id"]} if "id" in call else {"id": f"call_{index}"}
            yield {"tool_calls": [{**number, **ids, "type": "function", "function": head}]}
            for part in (arguments[:half], arguments[half:]):
                if self._has("half of the arguments is lost") and part is not arguments[:half]:
                    continue
                yield {"tool_calls": [{**number, "function": {"arguments": part}}]}

    async def _tail(self) -> AsyncIterator[bytes]:
        asked = (self._body.get("stream_options") or {}).get("include_usage")
        if self._has("usage unasked"):
            asked = True
        if asked and not self._has("stream usage missing"):
            kind = "chat.completion.chunk" if self._chat else "text_completion"
            yield _sse(self._envelope(kind, [], self._usage(streamed=True)))
        if not self._has("[DONE] missing"):
            yield b"data: [DONE]\n\n"
        if self._has("events after [DONE]"):
            yield self._event({"content": "more"})

    def _event(self, delta: dict[str, Any], *, finish: str | None = None) -> bytes:
        part: dict[str, Any] = {"index": 0, "finish_reason": finish}
        if finish == "length" and self._has("length finishes with stop"):
            part["finish_reason"] = "stop"
        if self._chat:
            value = self._envelope("chat.completion.chunk", [{**part, "delta": delta}], None)
        else:
            text = delta.get("content", "")
            value = self._envelope("text_completion", [{**part, "text": text}], None)
        return self._broken(_sse(value))

    def _broken(self, event: bytes) -> bytes:
        if self._has("line without data"):
            return event.replace(b"data: ", b"", 1) if b'"two' in event else event
        if self._has("UTF-8 byte lost"):
            return re.sub(rb"[\x80-\xbf]", b"", event, count=1)
        if self._has("characters replaced"):
            return re.sub(rb"[\xc0-\xff][\x80-\xbf]+", b"\xef\xbf\xbd", event)
        return event


def _sse(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


async def _read(request: web.Request) -> dict[str, Any]:
    value = json.loads(await request.read())
    assert isinstance(value, dict)
    return value


def _asked(body: Mapping[str, Any]) -> int | None:
    asked = body.get("max_completion_tokens", body.get("max_tokens"))
    return asked if isinstance(asked, int) else None


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _images(body: Mapping[str, Any]) -> bool:
    return any("image_url" in str(m["content"])[:4000] for m in body["messages"])


def _prompt_tokens(body: Mapping[str, Any]) -> int:
    """The tokens of a prompt. Tools count for half of the window at most."""
    tools = body.get("tools") or []
    texts = [_text_of(m) + json.dumps(m.get("tool_calls", "")) for m in body["messages"]]
    count = sum(4 + _count(text) for text in texts)
    return count + min(_count(json.dumps(tools)) if tools else 0, WINDOW // 2)


@lru_cache(maxsize=64)
def _count(text: str) -> int:
    return len(_TOKEN.findall(text))
