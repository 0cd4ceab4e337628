"""The tokens that a request used, also where its answer was cut before the backend counted them."""

from __future__ import annotations

from stoker.gateway.limiting.request_tokens import AskedTokens
from stoker.gateway.request_context import RequestContext

NOTHING = AskedTokens(0, 0)
#: Of prompts as JSON, with tools: a rough mean, for estimates.
_BYTES_PER_TOKEN = 4


def used_tokens(context: RequestContext, *, client_left: bool = False) -> AskedTokens:
    """As the backend reports them. Without a report: what was counted or is estimated of the
    prompt, and a token for each event that came.

    A request that got no answer used nothing, unless its client left while it was worked on.
    """
    answer = context.answer
    outgoing = getattr(context, "outgoing", None)
    if outgoing is None or (answer is None and not client_left):
        return NOTHING
    usage = (answer.report.usage if answer else None) or {}
    answered = client_left or bool(answer and (answer.streaming or answer.status == 200))
    if not usage and not answered:
        return NOTHING
    prompt = usage.get("prompt_tokens")
    if prompt is None:
        prompt = outgoing.prompt_tokens or len(outgoing.payload) // _BYTES_PER_TOKEN
    completion = usage.get("completion_tokens")
    if completion is None:
        completion = answer.events if answer else 0
    return AskedTokens(prompt, completion)
