"""Anthropic's Messages, served from chats. The API: https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.gateway.client_apis import messages_answer, messages_request
from stoker.gateway.client_apis.client_api import Asked, ChatRequest
from stoker.gateway.client_apis.messages_stream import MessagesStream


class MessagesApi:
    """``/v1/messages``, and the request of ``/v1/messages/count_tokens``."""

    def chat_request(self, body: Mapping[str, Any]) -> ChatRequest:
        """The request as a chat request. Raises ``BadRequestError``."""
        return messages_request.chat_request(body)

    def stream(self, asked: Asked) -> MessagesStream:
        """What translates one streamed answer."""
        return MessagesStream(asked)

    def whole(self, answer: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
        """A chat's whole answer as a message."""
        return messages_answer.message(answer, asked)

    def error(self, status: int, message: str, code: str | None) -> dict[str, Any]:
        """The body of an answer that reports an error."""
        return messages_answer.error(message, messages_answer.error_type(status), code)
