"""The answers that are under way, kept alive through silence, and given up when it is too long."""

from __future__ import annotations

import asyncio

from stoker.gateway.relay.backend_connection import BackendGoneError
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.timings import GatewayTimings


class LiveStreams:
    """One task looks after all of them: none has a timer of its own."""

    def __init__(self, timings: GatewayTimings) -> None:
        self._keep_alive_s = timings.keep_alive_s
        self._silence_s = timings.silence_s
        #: Since when each backend has been silent, on the event loop's clock.
        self._silent_since: dict[ResponseStream, float] = {}

    def add(self, answer: ResponseStream) -> None:
        """Look after an answer from now on."""
        self._silent_since[answer] = answer.began_at

    def discard(self, answer: ResponseStream) -> None:
        """The answer has ended, or no client waits for it."""
        self._silent_since.pop(answer, None)

    def unread_tokens(self) -> int:
        """Prompt tokens that backends still have to read, where they report it."""
        return sum(answer.reading.unread_tokens for answer in self._silent_since if answer.reading)

    def reading_tokens(self) -> int:
        """The tokens of the prompts that are being read, as far as backends report it."""
        return sum(answer.reading.prompt_tokens for answer in self._silent_since if answer.reading)

    async def keep_alive(self) -> None:
        """Write a comment to every stream that was silent for ``keep_alive_s``; runs forever.

        A prompt of 15,000 tokens takes minutes on a CPU, and clients give up on silence. A backend
        that was silent for ``silence_s`` is given up itself.
        """
        while True:
            await asyncio.sleep(min(self._keep_alive_s, self._silence_s) / 3)
            now = asyncio.get_running_loop().time()
            for answer in list(self._silent_since):
                self._check(answer, now)

    def _check(self, answer: ResponseStream, now: float) -> None:
        if answer.heard:
            answer.heard = False
            self._silent_since[answer] = now
        if now - self._silent_since[answer] >= self._silence_s:
            answer.failed(BackendGoneError(f"it was silent for {self._silence_s:.0f} s"))
            answer.abort()
        elif answer.streamed and answer.writer.silent_s(now) >= self._keep_alive_s:
            answer.keep_alive()
