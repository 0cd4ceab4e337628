"""Counts made in this process, where a tokenizer is known to count as the backend does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from stoker import engines, network_addresses, tokens
from stoker.engines import Backend, ServedModel
from stoker.errors import StokerError
from stoker.gateway.prompt.sent_form import SentForm
from stoker.gateway.prompt.server_counts import ServerCounts
from stoker.tokens import tool_calls

_log = logging.getLogger("stoker.gateway")


@dataclass(frozen=True, slots=True)
class LocalCounts:
    """``tokens.Counts`` with a tokenizer in this process, of requests as they are sent."""

    tokenizer: tokens.LocalTokenizer
    form: SentForm
    corrections: tokens.Corrections

    def count_strings(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text."""
        return self.tokenizer.count_strings(texts)

    def count_request(self, request: Mapping[str, Any]) -> int:
        """The tokens of the whole prompt."""
        sent = self.form.of(request)
        return max(1, self.tokenizer.count_request(sent) + self.corrections.of(sent))


def find_tokenizer(
    configured: Path | None, backend: Backend, model: ServedModel
) -> tokens.LocalTokenizer | None:
    """The configured tokenizer; else that of the file which a server on this machine reads."""
    if configured is not None:
        return _load(configured)
    if not network_addresses.is_loopback(urlsplit(backend.url).hostname or ""):
        return None
    path = engines.lookup(backend.engine).local_file(model.id)
    local = _load(path) if path else None
    # Ollama keeps templates of its own. One in the file that knows no tools, where the server
    # takes them, is not the one that it uses.
    if local is None or local.template is None:
        return None
    silent = not tool_calls.template_has_tools(local.template.source_for_tools)
    return None if silent and model.tools != "none" else local


def _load(path: Path) -> tokens.LocalTokenizer | None:
    read = tokens.LocalTokenizer.from_folder if path.is_dir() else tokens.LocalTokenizer.from_gguf
    try:
        return read(path)
    except (StokerError, OSError) as error:
        _log.info("no tokenizer to count with in this process: %s", error)
        return None


async def counts_alike(
    local: tokens.LocalTokenizer, server: ServerCounts, form: SentForm, model: str, worker: Executor
) -> bool:
    """Whether the tokenizer counts the probes as the server does."""
    for probe in _PROBES:
        request = form.of({**probe, "model": model})
        try:
            there = await server.uncached(request)
        except (aiohttp.ClientError, NotImplementedError, asyncio.TimeoutError):
            continue  # a server that can't count can't disagree
        try:
            here = await asyncio.get_running_loop().run_in_executor(
                worker, local.count_request, request
            )
        except tokens.TokenizerError:
            return False
        if here != there:
            _log.info("%s: its server counts %d, the local tokenizer %d", model, there, here)
            return False
    return True


_TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": 'Read a file: its "text" <as is> & whole.',
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string", "description": "Where it is – “here”."}},
            "required": ["path"],
        },
    },
}
_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "read_file", "arguments": '{"path": "src/größe.py"}'},
}
#: Requests that show whether two templates render alike: system prompt, turns, tools, results.
_PROBES: tuple[dict[str, Any], ...] = (
    {"messages": [{"role": "user", "content": "What does größe.py do?\n\n\tTell me."}]},
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hello!  How can I help?"},
            {"role": "user", "content": "Write `x = 1`."},
        ]
    },
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What does it do?"},
            {"role": "assistant", "content": "", "tool_calls": [_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "def größe(): ...\n"},
            {"role": "assistant", "content": None, "tool_calls": [_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "{}"},
            {"role": "user", "content": "Thanks."},
        ],
        "tools": [_TOOL],
    },
)
