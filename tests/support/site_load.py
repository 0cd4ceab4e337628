"""Clients that ask a site one streamed chat after the other, and what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass
class Load:
    """``faults`` are the requests that failed before any of their answer had come."""

    endpoint: str
    key: str
    model: str
    clients: int
    #: Of each answer; ``None`` leaves it to the model.
    max_tokens: int | None = None
    #: Between an answer and the client's next request, as a person reads.
    pause_s: float = 0.0
    ended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _over: bool = False

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """They ask until the block ends."""
        head = {"Authorization": f"Bearer {self.key}"}
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(headers=head, connector=connector) as http:
            tasks = [asyncio.create_task(self._ask(http, n)) for n in range(self.clients)]
            try:
                yield
            finally:
                self._over = True
                await asyncio.gather(*tasks)

    async def _ask(self, http: aiohttp.ClientSession, client: int) -> None:
        turn = 0
        while not self._over:
            turn += 1
            text = f"client {client}: " + "the same beginning " * 20 + f"turn {turn}"
            body: dict[str, Any] = {
                "model": self.model,
                "stream": True,
                "messages": [{"role": "user", "content": text}],
            }
            if self.max_tokens is not None:
                body["max_tokens"] = self.max_tokens
            self.ended[await self._chat(http, body)] += 1
            await asyncio.sleep(self.pause_s)

    async def _chat(self, http: aiohttp.ClientSession, body: dict[str, Any]) -> str:
        seen = b""
        try:
            async with http.post(f"{self.endpoint}/v1/chat/completions", json=body) as answer:
                if answer.status != 200:
                    self.faults.append(f"{answer.status} {(await answer.text())[:200]}")
                    await asyncio.sleep(0.2)
                    return "refused"
                async for part in answer.content.iter_any():
                    seen += part
        except aiohttp.ClientError as error:
            if b"content" not in seen:
                self.faults.append(repr(error))
                return "refused"
        return "whole" if b"[DONE]" in seen else "broken off"
