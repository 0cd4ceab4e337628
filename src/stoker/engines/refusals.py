"""Why a server refuses a request, in its own words, whatever form it gives them in. Pure.

The forms, each with where it is found: OpenAI's ``error.message``; one text (Ollama, TGI, Triton);
FastAPI's list of places and messages (https://fastapi.tiangolo.com/tutorial/handling-errors), also
inside ``message`` (Mistral's API); the list of Google's API; ``errors`` of Cloudflare and
JSON:API; RFC 9457's ``detail`` and ``title``; OpenRouter's ``metadata.raw``, which holds what the
provider behind it answered (https://openrouter.ai/docs/api-reference/errors); plain text (Envoy and
programs in Rust and Go); and the HTML pages of proxies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from stoker.tokens import ContextLengthExceededError

#: Where an object has its words; the more specific names come first.
_NAMES = ("message", "msg", "error", "errors", "detail", "details", "error_description", "reason")
_LAST_NAMES = ("Message", "description", "title")
#: A body may nest deeper than any error that is meant for people.
_MAX_DEPTH = 6
#: Of a long list of mistakes the first ones are enough, and of a long text the beginning.
_MAX_PARTS = 8
_MAX_CHARS = 2000
#: The kind of an error, such as ``extra_forbidden``: the one thing of it that a log may hold, since
#: words may quote the prompt.
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_HTML = re.compile(r"<(!doctype html|html|head|body)\b", re.IGNORECASE)
_HEADING = re.compile(r"<(title|h1)[^>]*>(.*?)</\1>", re.IGNORECASE | re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffd]+")
#: OpenAI's code where a prompt is too long; agents shorten a conversation that gets it.
OVERFLOW = ContextLengthExceededError.code
#: What servers write in that case: llama.cpp; vLLM (for images: vllm-project/vllm/issues/12165) and
#: those that quote OpenAI; SGLang and Together; Ollama and Anthropic; LM Studio in three releases;
#: TGI; TensorRT-LLM; Gemini; Bedrock; Copilot; Kimi; MiniMax; xAI; Groq; LiteLLM; DashScope
#: (anomalyco/opencode/pull/45834); Poolside (earendil-works/pi/issues/4943). Many are in
#: https://github.com/earendil-works/pi/issues/5930, 2626, in its packages/ai/src/utils/overflow.ts
#: and in https://github.com/aaif-goose/goose/issues/11318.
_OVERFLOWS = re.compile(
    r"exceeds? the available context|maximum context length|longer than the maximum model length|"
    r"longer than the model's context length|context length is only|"
    r"exceed(?:s|ed)? (?:the |this )?(?:max |model'?s? )?context (?:length|window)|"
    r"\bprompt (?:is )?too long\b|does not fit in context length|"
    r"greater than the context length|context length of only|"
    r"`inputs` tokens \+ `max_new_tokens` must be|`inputs` must have less than|"
    r"token count\b.* exceeds the (?:maximum|limit)|ContextWindowExceeded|"
    r"exceed(?:s|ed)? (?:the )?context limit|context (?:size has been exceeded|window exceeds)|"
    r"input is too long for requested model|is too long to fit into the model|"
    r"\binput length\b.* exceeds the maximum|range of input length should be|"
    r"exceeded model token limit|maximum prompt length is \d|tokens exceeds max_seq_len|"
    r"should not exceed max_num_tokens|input tokens exceed the configured limit|"
    r"reduce the length of the messages|context[_ ]length[_ ]exceeded",
    re.IGNORECASE,
)
#: What only an answer has; a failed one of /v1/responses has an error beside it.
_ANSWERS = frozenset({"choices", "output", "content", "data", "response"})
#: What servers write where a path does not exist: it does not name the path, and of which
#: server. FastAPI, Go, llama.cpp, Flask and Rust's axum, in this order; axum writes nothing.
_NO_PATH = re.compile(
    r"(not found|404 page not found|file not found|404 not found|.* requested URL was not .*|)\.?",
    re.IGNORECASE | re.DOTALL,
)

#: Why a proxy answers itself, by the status that it answers with.
_OF_A_PROXY = {
    401: "it requires a login",
    403: "it refuses access",
    404: "it does not know this path",
    413: "the request is larger than it allows, so raise its limit for the size of a body",
    429: "it gets too many requests",
    502: "it can't reach the model's server",
    503: "the model's server behind it is not available",
    504: "it waited too long for the model's server, so raise its time limit",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal in the fields of OpenAI's errors. ``message`` is for the client, not for a log."""

    message: str
    kind: str | None = None
    code: str | None = None
    param: str | None = None
    #: It came in OpenAI's form, so its fields are the client's to read.
    is_openai: bool = False
    #: The server reports nothing but that there is no such path.
    is_no_path: bool = False

    @property
    def loggable(self) -> str:
        """Its kind, which is a name and holds nothing of a prompt; empty where it has none."""
        found = (name for name in (self.code, self.kind) if name and _IDENTIFIER.fullmatch(name))
        return next(found, "")


def read(status: int, body: bytes, location: str = "") -> Refusal:
    """The refusal that an answer of this status is; ``location`` is where a redirect leads to."""
    if 300 <= status < 400:
        return Refusal(f"The address of the model's server redirects to {bare(location)}.")
    if status == 407:
        return Refusal("A proxy in front of the model's server requires a login (407).")
    said = _said(status, body)
    if status == 401:
        return Refusal(
            "The model's server does not accept the gateway's own key for it (401): "
            f"{said.message}",
            said.kind,
            said.code,
            is_openai=said.is_openai,
        )
    return said


def words_of(status: int, body: bytes) -> str:
    """The server's words for a refusal."""
    return _said(status, body).message


def _said(status: int, body: bytes) -> Refusal:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _of_text(status, body.decode("utf-8", errors="replace"))
    return of_value(value) or _wordless(status)


def of_value(value: Any) -> Refusal | None:
    """The refusal in a JSON value, such as an event of a stream; ``None`` where it has no words."""
    error = value.get("error") if isinstance(value, Mapping) else None
    words = _readable(_words(value))
    if words is None:
        return None
    fields = error if isinstance(error, Mapping) else value
    return Refusal(
        words,
        kind=_text_in(fields, "type") or _text_in(value, "error_type") or _first_type(value),
        # llama.cpp and vLLM repeat the status, as a number.
        code=OVERFLOW if _OVERFLOWS.search(words) else _text_in(fields, "code"),
        param=_text_in(fields, "param"),
        is_openai=bool(_text_in(error, "message")),
        is_no_path=_NO_PATH.fullmatch(words) is not None,
    )


def of_answer(value: Mapping[str, Any]) -> Refusal | None:
    """The refusal in what was sent with 200, whole or as an event; ``None`` in an answer.

    OpenRouter and LM Studio refuse so once the head is sent, and vLLM's events of old hold the
    error without a name around it.
    """
    refuses = value.get("error") or value.get("object") == "error"
    return of_value(value) if refuses and _ANSWERS.isdisjoint(value) else None


def in_answer(body: bytes) -> Refusal | None:
    """The same, in the body of an answer; ``None`` also where that is no JSON object."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return of_answer(value) if isinstance(value, dict) else None


def _words(value: Any, depth: int = 0) -> str | None:
    if isinstance(value, str):
        return _readable(value)
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, list):
        found = [_words(part, depth + 1) for part in value[:_MAX_PARTS]]
        return "; ".join(words for words in found if words) or None
    return _of_object(value, depth) if isinstance(value, Mapping) else None


def _of_object(value: Mapping[str, Any], depth: int) -> str | None:
    found = (_words(value.get(name), depth + 1) for name in (*_NAMES, *_LAST_NAMES))
    words = next((text for text in found if text), None)
    place = value.get("loc")
    if words and isinstance(place, list):  # FastAPI's; ``input`` beside it is the client's own text
        return f"{'.'.join(map(str, place))}: {words}"
    metadata = value.get("metadata")
    behind = _readable(metadata.get("raw")) if isinstance(metadata, Mapping) else None
    return f"{words}: {behind}" if words and behind else words


def _first_type(value: Any) -> str | None:
    """The ``type`` of the first mistake in FastAPI's list."""
    for _ in range(_MAX_DEPTH):
        if isinstance(value, list):
            value = value[0] if value else None
        elif isinstance(value, Mapping) and "loc" in value:
            return _text_in(value, "type")
        elif isinstance(value, Mapping):
            value = value.get("detail") or value.get("message") or value.get("error")
    return None


def _text_in(fields: Any, name: str) -> str | None:
    value = fields.get(name) if isinstance(fields, Mapping) else None
    return value if isinstance(value, str) else None


def _of_text(status: int, text: str) -> Refusal:
    if _HTML.search(text[:_MAX_CHARS]):
        return Refusal(_of_page(status, text))
    words = _readable(text)
    if words is None:
        return _wordless(status)
    code = OVERFLOW if _OVERFLOWS.search(words) else None
    return Refusal(words, code=code, is_no_path=_NO_PATH.fullmatch(words) is not None)


def _of_page(status: int, text: str) -> str:
    heading = page_heading(text)
    titled = f" with the page {heading!r}" if heading else ""
    why = _OF_A_PROXY.get(status)
    return (
        f"A proxy in front of the model's server answered {status}{titled}"
        f"{f': {why}' if why else ''}."
    )


def page_heading(text: str) -> str:
    """The title of an HTML page, or its first heading; empty where it has neither."""
    found = _HEADING.search(text[: 16 * _MAX_CHARS])
    return " ".join(unescape(found[2]).split())[:100] if found else ""


def _wordless(status: int) -> Refusal:
    return Refusal(
        f"The model's server refused with status {status} and gave no reason.", is_no_path=True
    )


def _readable(text: Any) -> str | None:
    """A text fit to be shown: no control characters, no length without end."""
    if not isinstance(text, str):
        return None
    shown = _CONTROL.sub(" ", text).strip()
    return (shown[:_MAX_CHARS] + " ..." if len(shown) > _MAX_CHARS else shown) or None


def bare(address: str) -> str:
    """An address without its query and login, which may hold secrets."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "another address"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", "")) or "another address"
