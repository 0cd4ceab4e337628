"""A request as it is sent to one backend."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from stoker import tokens
from stoker.engines import Engine, NativeCompletions
from stoker.gateway.api import request_validation
from stoker.gateway.api.known_conversations import KnownConversation
from stoker.gateway.api.path_rules import PathRules
from stoker.gateway.api.stream_formats import StreamFormat
from stoker.gateway.client_apis.client_api import AnswerForm
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.gateway.relay import refused_fields
from stoker.gateway.relay.tool_call_rewriter import TextCalls
from stoker.tokens.request_form import new_at

_UNCUT = tokens.Cuts()


class BackendRequest(msgspec.Struct, frozen=True, eq=False):
    """A request that is ready to be sent, and how its answer is relayed."""

    #: Its JSON, in pieces: what has been written of it is not written again.
    payload: Sequence[bytes]
    streamed: bool = False
    #: The client asked for a usage event of its own.
    wants_usage: bool = True
    rewrite: TextCalls | None = None
    #: The path that it goes to, where that is not the client's.
    path: str | None = None
    #: The API of the engine's own that it is written for.
    native: NativeCompletions | None = None
    #: What makes its answers those of the client's API, where the path's rules have nothing.
    answers: AnswerForm | None = None
    #: How its stream ends, where that is not as OpenAI's chats do.
    form: StreamFormat | None = None
    #: How many answers it asks for.
    choices: int = 1
    #: What the client did not ask for.
    added: frozenset[refused_fields.Path] = frozenset()
    #: The key of events that report how far the prompt is read, where the client asked for none.
    progress_key: str | None = None
    #: The client asked for the events about it, and gets them.
    shows_progress: bool = False
    #: What the prompt was counted to be; ``None`` where it was not counted.
    prompt_tokens: int | None = None
    #: What was cut from it to make it fit.
    cuts: tokens.Cuts = _UNCUT
    cut_tokens: int = 0
    #: For the client, on the answer.
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)

    def refused_in(self, refusal: bytes) -> frozenset[refused_fields.Path]:
        """Its fields that a server's refusal names and that can be left out."""
        return refused_fields.named_in(refusal, orjson.loads(b"".join(self.payload)))

    def without(self, refused: Collection[refused_fields.Path]) -> BackendRequest:
        """The same request without these fields."""
        sent = refused_fields.without(orjson.loads(b"".join(self.payload)), refused)
        return msgspec.structs.replace(
            self, payload=[orjson.dumps(sent)], added=self.added - set(refused)
        )

    @property
    def size_bytes(self) -> int:
        """The length of its JSON."""
        return sum(map(len, self.payload))


def backend_request(
    prepared: Prepared,
    model: str,
    rules: PathRules,
    engine: Engine,
    refused: Collection[refused_fields.Path] = (),
    *,
    header: str | None = None,
    fields: Mapping[str, str | int] | None = None,
    known: KnownConversation | None = None,
    reads_slowly: bool = False,
) -> BackendRequest:
    """The request for ``model``, without the fields that its backend is known to refuse.

    Its usage is always asked for where its path can stream it, and its progress in reading where
    the engine reports that too. It is streamed where the engine wants that
    (``Engine.asks_for_stream``).
    ``header`` is the record for the client; ``fields`` are those that the engine's cache wants;
    ``known`` are messages that need not be written if they come first.

    Raises ``BadRequestError`` where it can't be written.
    """
    body = prepared.request
    streamed = bool(body.get("stream"))
    options = body.get("stream_options") or {}
    sent: Mapping[str, Any] = {**body, "model": model, **(fields or {})}
    added: set[refused_fields.Path] = set()
    choices = _choices(body) if rules.streams_usage else 1
    streams_usage = rules.streams_usage and prepared.native is None
    is_whole = streams_usage and not streamed
    if is_whole and engine.asks_for_stream(body, choices, reads_slowly):
        sent = {**sent, "stream": True}
    if sent.get("stream") and streams_usage:
        sent = {**sent, "stream_options": {**options, "include_usage": True}}
        added = set() if "stream_options" in body else {("stream_options",)}
    reports = sent.get("stream") and rules.reports_prefill
    report = engine.prefill_report if reports else None
    asked = bool(report and body.get(report.field))
    if report and not asked:
        sent, added = {**sent, report.field: True}, added | {(report.field,)}
    sent = refused_fields.without(sent, refused)
    return BackendRequest(
        payload=_written(sent, known),
        streamed=streamed,
        wants_usage=bool(options.get("include_usage")),
        rewrite=prepared.rewrite,
        path=prepared.path or rules.backend_path,
        native=prepared.native,
        answers=prepared.answers,
        form=rules.stream_format,
        choices=choices,
        added=frozenset(added.difference(refused)),
        progress_key=report.key if report else None,
        shows_progress=asked,
        prompt_tokens=prepared.prompt_tokens,
        cuts=prepared.cuts,
        cut_tokens=prepared.cut_tokens,
        headers={"x-stoker-fit": header} if header else {},
    )


def _written(sent: Mapping[str, Any], known: KnownConversation | None) -> list[bytes]:
    messages = sent.get("messages")
    if not isinstance(messages, list) or not messages or new_at(messages) < len(messages):
        return [request_validation.written(sent)]
    others = {name: value for name, value in sent.items() if name != "messages"}
    beginning = request_validation.written(others)[:-1] + b',"messages":['
    if known is None or not known.is_in(messages):
        return [beginning, b",".join([part.json for part in messages]), b"]}"]
    rest = [b"", *(part.json for part in messages[len(known.messages) :])]
    return [beginning, known.json, b",".join(rest), b"]}"]


def _choices(body: Mapping[str, Any]) -> int:
    n = body.get("n")
    return n if isinstance(n, int) and n > 1 else 1
