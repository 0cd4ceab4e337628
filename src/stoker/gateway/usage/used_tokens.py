"""The tokens that a request used, also where its answer was cut before the backend counted them."""

from __future__ import annotations

from stoker.gateway.limiting.request_tokens import RequestTokens
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.request_context import RequestContext

_NOTHING = RequestTokens(0, 0)
#: Of prompts as JSON, with tools: a rough mean, for estimates.
_BYTES_PER_TOKEN = 4


def used_tokens(context: RequestContext, *, client_left: bool = False) -> RequestTokens:
    """As the backend reports them. Without a report: what was counted or is estimated of the
    prompt, and a token for each event that came, also where a stream was cut before its last
    report.

    A request that got no answer used nothing, unless its client left while it was worked on.
    """
    answer = context.answer
    outgoing = getattr(context, "outgoing", None)
    usage = (answer.report.usage if answer else None) or {}
    cut = is_cut(context, client_left=client_left)
    if outgoing is None or not (usage or cut or _has_answered(answer)):
        return _NOTHING
    prompt = usage.get("prompt_tokens")
    if prompt is None:
        prompt = outgoing.prompt_tokens or outgoing.size_bytes // _BYTES_PER_TOKEN
    events = answer.events if answer else 0
    completion = usage.get("completion_tokens", events)
    return RequestTokens(prompt, max(completion, events) if cut else completion)


def is_cut(context: RequestContext, *, client_left: bool = False) -> bool:
    """Whether the client has left before the end of its answer, or a stream has broken off."""
    answer = context.answer
    if answer is None:
        return client_left
    if client_left and (answer.ended.cancelled() or not answer.ended.done()):
        return True
    return answer.streaming and answer.error is not None


def _has_answered(answer: ResponseStream | None) -> bool:
    if answer is None:
        return False
    return answer.streaming or (answer.status == 200 and answer.error is None)
