"""What preparing a request for a backend results in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stoker import tokens
from stoker.engines import NativeCompletions
from stoker.gateway.client_apis.client_api import AnswerForm
from stoker.gateway.prompt.prompt_chain import PromptChain
from stoker.gateway.relay.tool_call_rewriter import TextCalls

_UNCUT = tokens.Cuts()


class Prepared(msgspec.Struct, frozen=True, eq=False):
    """A request as one backend gets it, and what to do with that backend's answer."""

    request: Mapping[str, Any]
    #: Of a chat that was prepared for its engine.
    chain: PromptChain | None = None
    #: Of such a chat: what stands for all else of it that may change its prompt, and its owner's
    #: mark.
    options_key: int = 0
    header: str | None = None
    #: What the prompt was counted to be; ``None`` where it surely fits and was not counted.
    prompt_tokens: int | None = None
    #: What it has at most by what is known of its beginning, where that is why it was not counted.
    most_prompt_tokens: int | None = None
    max_tokens: int | None = None
    cuts: tokens.Cuts = _UNCUT
    cut_tokens: int = 0
    rewrite: TextCalls | None = None
    #: The path that it goes to, where that is not the client's.
    path: str | None = None
    #: The API of the engine's own that it is written for; its answers become OpenAI's first.
    native: NativeCompletions | None = None
    #: What makes answers of a chat or a completion those of the client's API, where its path's
    #: rules have nothing that does.
    answers: AnswerForm | None = None
    #: What ``prompt_tokens`` was corrected by.
    correction_tokens: int = 0
