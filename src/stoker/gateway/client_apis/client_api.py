"""What an API needs to be served from chats: one class for each API, and its line in a row.

A request of such an API becomes a chat request first, so counting, fitting, emulated tools, routing
and accounting see chats only, and every backend can answer it. The chat's answer is translated back
as the last step, and so is every error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from stoker.gateway.api.request_validation import BadRequestError

#: Names that are the client's own words are shortened, and cleaned for a header.
_NAME_CHARS = 40
#: Clients read headers of some KB.
_MOST_NAMES = 32
_NOT_IN_HEADERS = re.compile(r"[^A-Za-z0-9_.\-]+")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A client's request as a chat request."""

    #: The body of ``/v1/chat/completions``, not yet checked and not yet in its normal form.
    body: dict[str, Any]
    #: What the client asked for and gets without, by name: ``x-stoker-fit`` lists it.
    ignored: tuple[str, ...] = ()
    #: Whether the client would rather have its prompt cut than refused.
    may_cut: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer repeats of its request."""

    #: The client's own body, as ``chat_request`` took it.
    body: Mapping[str, Any]
    #: The model that answers.
    model: str
    #: Tokens of the prompt; ``None`` where they were not counted before the answer.
    prompt_tokens: int | None = None


class ApiStream(Protocol):
    """One streamed answer. All methods return whole server-sent events, or nothing."""

    def event(self, chunk: Mapping[str, Any]) -> bytes:
        """What one chunk of a chat becomes.

        Its calls are whole, numbered and of unique ids, and its thinking is in
        ``reasoning_content`` or ``reasoning``. The usage comes in a chunk without choices, behind
        the finish reason.
        """

    def end(self) -> bytes:
        """The end of an answer that is complete."""

    def error(self, message: str, code: str | None) -> bytes:
        """The end of an answer that broke off."""


class AnswerForm(Protocol):
    """How answers become those of another API. Pure."""

    def stream(self, asked: Asked, /) -> ApiStream:
        """What translates one streamed answer."""

    def whole(self, answer: Mapping[str, Any], asked: Asked, /) -> dict[str, Any]:
        """A whole answer as this API's."""


class ClientApi(Protocol):
    """One API, translated. Everything is pure: values in, values out."""

    def chat_request(self, body: Mapping[str, Any]) -> ChatRequest:
        """The request as a chat request.

        Raises ``BadRequestError``, and nothing else whatever ``body`` holds.
        """

    def stream(self, asked: Asked) -> ApiStream:
        """What translates one streamed answer."""

    def whole(self, answer: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
        """A chat's whole answer as this API's."""

    def error(self, status: int, message: str, code: str | None) -> dict[str, Any] | None:
        """The body of an answer that reports an error. ``code`` is the one of OpenAI's form.

        ``None``: this API's errors have that form too.
        """


def named_event(name: str, value: Mapping[str, Any]) -> bytes:
    """A server-sent event with its name in a line of its own."""
    return f"event: {name}\ndata: ".encode() + orjson.dumps(value) + b"\n\n"


def header_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names in a form that a header can hold, each once; of very many the first ones."""
    cleaned = (_NOT_IN_HEADERS.sub("_", name)[:_NAME_CHARS] for name in names)
    return tuple(dict.fromkeys(name for name in cleaned if name))[:_MOST_NAMES]


def wrong(where: str, expected: str) -> BadRequestError:
    """The error for a field of the wrong shape; ``where`` names it as its client does."""
    return BadRequestError(f"{where} must be {expected}.", code="invalid_type", param=where)
