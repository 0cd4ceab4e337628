"""One request on its way through the pipeline, and what each stage found out about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from aiohttp import web

from stoker.access.caller import Caller
from stoker.engines import ServedModel
from stoker.gateway.routing.first_tokens import FirstTokenWait
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.routing.priority import Utility

if TYPE_CHECKING:  # these know the context, and OpenTelemetry is an extra
    from opentelemetry.trace import Span

    from stoker.gateway.api.known_conversations import KnownConversation
    from stoker.gateway.api.path_rules import PathRules
    from stoker.gateway.relay.backend_request import BackendRequest
    from stoker.gateway.relay.response_stream import ResponseStream


@dataclass(eq=False, repr=False, slots=True)
class RequestContext:
    """One request. A field without a default is set by the stage that its comment names."""

    request: web.BaseRequest
    #: Its path as the table of paths has it; empty where it does not exist.
    route: str = ""
    #: The client was sent the head of an answer: from here on errors can't be answered.
    head_sent: bool = False
    #: TraceRequest, where traces are sent: the span of the request.
    span: Span | None = None
    #: What its backend gets of the trace that it belongs to; ``None``: what its client has sent.
    trace_headers: Mapping[str, str] | None = None
    #: Authenticate: who sends it.
    caller: Caller = field(init=False)
    #: Authenticate: a program on this machine, such as a browser, could have sent its proof.
    needs_own_host: bool = False
    #: Validate: what its path asks for, and its JSON.
    rules: PathRules = field(init=False)
    body: dict[str, Any] = field(init=False)
    #: Validate: how long its JSON was.
    sent_bytes: int = 0
    #: Validate: the messages that it begins with as one before it did.
    known: KnownConversation | None = None
    #: Validate: the JSON as it was sent, where ``rules.api`` translates.
    client_body: dict[str, Any] = field(init=False)
    #: Validate: what the client asked for and gets without.
    ignored: tuple[str, ...] = ()
    #: Validate: the prompt may be cut where it is too long; otherwise the request is refused.
    may_cut: bool = True
    #: Validate: the client offers its tools as ``functions``, and reads ``function_call``.
    legacy_calls: bool = False
    #: ChooseModel: the model that it names, with the smallest window that its backends have.
    model: ServedModel = field(init=False)
    #: ChooseModel: an editor completes code with it (``routing/priority.py``).
    is_completion: bool = False
    #: RefuseForeignPages: what lets a page read the answer. LimitCaller: what is left of the
    #: caller's limits. For every answer to the request.
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    #: SelectBackend: set again for each try.
    backend: PooledBackend = field(init=False)
    utility: Utility | None = None
    #: SelectBackend: that of a turn, until its first token has come.
    first_token: FirstTokenWait | None = None
    #: SelectBackend: the headers by which its client names its conversation, that name, and how
    #: long the request has waited for slots, in seconds.
    session_headers: Mapping[str, str] = field(init=False)
    session: str | None = None
    queue_s: float = 0.0
    #: PrepareForBackend: what this backend gets.
    outgoing: BackendRequest = field(init=False)
    #: Forward: the last backend's answer, and whether another may be asked in its place.
    answer: ResponseStream | None = None
    may_retry: bool = False


Handler = Callable[[RequestContext], Awaitable[web.StreamResponse]]


@runtime_checkable
class Guard(Protocol):
    """A step of the pipeline that only looks at the request, before all that follows.

    Its constructor takes the ``GatewayState``; an error that it raises is sent in OpenAI's format.
    """

    async def check(self, context: RequestContext, /) -> web.StreamResponse | None:
        """Set what it finds out, or answer in place of the steps after it."""


class Stage(Protocol):
    """A step of the pipeline that sees the answer too.

    It answers itself, or returns what ``proceed`` answers: the stages after it. It may look at the
    request before and at the answer after, and it may call ``proceed`` again. Its constructor takes
    the ``GatewayState``; an error that it raises is sent in OpenAI's format.
    """

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Answer the request."""
