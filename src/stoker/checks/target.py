"""The endpoint under test: the requests that checks send, and readers for the answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from stoker.checks.exceptions import Failed, NotShown, NotSupported
from stoker.checks.raw_http import RawClient, Reply, Until

CHAT = "/v1/chat/completions"
#: A prompt that every model answers at length.
LONG = "Write a long story about a lighthouse."
#: A text that tokenizers split evenly: every repetition has the same number of tokens.
FILLER = " word"
#: The longest prompt that a check sends, since prompts may cost money. It is 1.2 windows of
#: 131,072 tokens, the longest window of most open models, and as much as editors fill.
MOST_PROMPT_TOKENS = 160_000
#: A prompt of this many windows is too long, even if its length is only estimated.
_TOO_MUCH = 1.2
#: Added to it, for short windows.
SLACK_TOKENS = 32
#: Two numbers of repetitions: the difference of their counts gives the tokens of one.
_FEW, _MANY = 16, 144


class Endpoint:
    """One model at one address.

    ``window`` is the advertised context window in tokens; ``None`` where there is none.
    ``pace_s`` is how long the server may take to start or to stop work.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str | None = None,
        window: int | None = None,
        timeout_s: float = 60.0,
        pace_s: float = 1.0,
    ) -> None:
        self.url = url
        self.model = model
        self.key = key
        self.window = window
        self.pace_s = pace_s
        self.client = RawClient(url, key, timeout_s)

    def get(self, path: str, **options: Any) -> Reply:
        """Send ``GET path``."""
        return self.client.send("GET", path, **options)

    def post(self, path: str, body: Mapping[str, Any] | bytes, **options: Any) -> Reply:
        """Send ``POST path`` with ``body`` as it is."""
        return self.client.send("POST", path, body, **options)

    def ask(self, prompt: str | Sequence[Mapping[str, Any]], **fields: Any) -> Mapping[str, Any]:
        """The body of a chat request with a short and, where possible, repeatable answer.

        A field that is ``None`` is left out.
        """
        messages = [user(prompt)] if isinstance(prompt, str) else prompt
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": 16,
            **fields,
        }
        return {name: value for name, value in body.items() if value is not None}

    def chat(self, prompt: str | Sequence[Mapping[str, Any]], **fields: Any) -> Reply:
        """Send a chat whose answer comes in one piece; ``fields`` as for ``ask``."""
        return self.post(CHAT, self.ask(prompt, **fields))

    def stream(
        self,
        prompt: str | Sequence[Mapping[str, Any]],
        *,
        until: Until | None = None,
        limit_s: float | None = None,
        **fields: Any,
    ) -> Reply:
        """Send a chat whose answer is streamed; ``until`` and ``limit_s`` as for ``RawClient``."""
        body = self.ask(prompt, stream=True, **fields)
        return self.post(CHAT, body, until=until, limit_s=limit_s)

    @cached_property
    def sample(self) -> Reply:
        """An ordinary answer, requested once for all checks that look at one."""
        return self.chat("Say hello in one short sentence.")

    @cached_property
    def sample_stream(self) -> Reply:
        """An ordinary stream with usage, requested once for all checks that look at one."""
        return self.stream(LONG, max_tokens=32, stream_options={"include_usage": True})

    @cached_property
    def _filler_tokens(self) -> tuple[float, float]:
        """Tokens of a prompt without filler, and of one repetition of the filler."""
        few, many = (_prompt_tokens(self.chat(FILLER * n, max_tokens=1)) for n in (_FEW, _MANY))
        each = (many - few) / (_MANY - _FEW)
        if each <= 0:
            raise Failed("a longer prompt does not count more tokens, so lengths can't be tested")
        return few - each * _FEW, each

    def filler(self, tokens: int) -> str:
        """A text that, as the only message, makes a prompt of about ``tokens`` tokens.

        Raises ``NotShown`` for more than a check may send.
        """
        if tokens > MOST_PROMPT_TOKENS:
            raise NotShown(
                f"it would take a prompt of {tokens:,} tokens; no check sends more than "
                f"{MOST_PROMPT_TOKENS:,}"
            )
        base, each = self._filler_tokens
        return FILLER * max(1, round((tokens - base) / each))

    def settle(self) -> None:
        """Wait until the server has dropped a long prompt whose connection was closed."""
        with contextlib.suppress(Failed):
            self.chat("Hi", max_tokens=1)

    def too_much(self) -> int:
        """Tokens of a prompt that must be refused. Raises as ``known_window`` does."""
        return int(self.known_window() * _TOO_MUCH) + SLACK_TOKENS

    def known_window(self) -> int:
        """The advertised context window. Raises ``NotSupported`` where there is none."""
        if self.window is None:
            raise NotSupported("the server does not advertise its context window")
        return self.window


def user(text: str) -> dict[str, str]:
    """A user message."""
    return {"role": "user", "content": text}


def answered(reply: Reply) -> dict[str, Any]:
    """The JSON of an answer. Raises ``Failed`` where it was refused or is incomplete."""
    if not reply.ok:
        raise Failed(f"refused with status {reply.status}: {reply.text}")
    if reply.cut:
        raise Failed(f"the answer is incomplete: {reply.cut}")
    return reply.json()


def accepted(reply: Reply) -> Reply:
    """``reply`` itself. Raises ``Failed`` where the request was refused."""
    if not reply.ok:
        raise Failed(f"refused with status {reply.status}: {reply.text}")
    return reply


def optional(reply: Reply) -> Reply:
    """``reply`` itself. Raises ``NotSupported`` for a refusal, ``Failed`` for any other error."""
    if reply.refused:
        raise NotSupported(f"refused with status {reply.status}: {reply.text}")
    if not reply.ok:
        raise Failed(f"status {reply.status} instead of a refusal with 4xx: {reply.text}")
    return reply


def expect(holds: object, problem: str) -> None:
    """Raise ``Failed`` with ``problem`` unless ``holds``."""
    if not holds:
        raise Failed(problem)


def choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The first choice of an answer."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Failed("the answer has no choices")
    found: dict[str, Any] = choices[0]
    return found


def message(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The message of an answer."""
    found = choice(answer).get("message")
    if not isinstance(found, dict):
        raise Failed("the answer has no message")
    return found


def content(answer: Mapping[str, Any]) -> str:
    """The text of an answer; empty where there is none."""
    return str(message(answer).get("content") or "")


def thought(part: Mapping[str, Any]) -> str:
    """The reasoning of a message or a delta, under either of the names that servers use."""
    return str(part.get("reasoning_content") or part.get("reasoning") or "")


def deltas(reply: Reply) -> list[dict[str, Any]]:
    """What each event of a stream adds to the first choice."""
    found = []
    for chunk in reply.chunks():
        for part in chunk.get("choices") or []:
            if isinstance(part, dict) and isinstance(part.get("delta"), dict):
                found.append(part["delta"])
    return found


def text_of(reply: Reply) -> str:
    """The text of a stream."""
    return "".join(str(delta.get("content") or "") for delta in deltas(reply))


def finish_of(reply: Reply) -> str | None:
    """The last ``finish_reason`` of a stream."""
    reasons = [
        part.get("finish_reason")
        for chunk in reply.chunks()
        for part in chunk.get("choices") or []
        if part.get("finish_reason")
    ]
    return reasons[-1] if reasons else None


def usage(answer: Mapping[str, Any]) -> dict[str, int]:
    """The usage of an answer: whole numbers under their names."""
    found = answer.get("usage")
    if not isinstance(found, dict):
        raise Failed("the answer has no usage")
    counts = {name: value for name, value in found.items() if isinstance(value, int)}
    for name in ("prompt_tokens", "completion_tokens"):
        expect(name in counts, f"the usage has no {name}")
    return counts


def stream_usage(reply: Reply) -> dict[str, int] | None:
    """The last usage of a stream."""
    for chunk in reversed(reply.chunks()):
        if isinstance(chunk.get("usage"), dict):
            return usage(chunk)
    return None


def after_pieces(count: int) -> Callable[[bytes], bool]:
    """A condition for ``until``: the stream has brought ``count`` events."""
    return lambda body: body.count(b"data:") >= count


def error_message(reply: Reply) -> str:
    """The message of a refusal, whatever its format; the raw body where there is none."""
    with contextlib.suppress(Failed):
        value = reply.json()
        error = value.get("error", value)
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            return str(error["message"])
    return reply.text


def _prompt_tokens(reply: Reply) -> int:
    return usage(answered(reply))["prompt_tokens"]
