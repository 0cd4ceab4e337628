"""Make requests fit the model that answers them: count where it matters, cut where it must be.

The tokens room decides; this module gives it what it needs to know of one backend, keeps the work
off the event loop, and learns from the counts that come back with each answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import orjson

from stoker import engines, network_addresses, tokens
from stoker.engines import Backend, ServedModel
from stoker.errors import StokerError
from stoker.gateway.api.request_validation import parts_beyond_text
from stoker.gateway.relay.tool_call_rewriter import TextCalls
from stoker.gateway.usage.metrics import Metrics

_log = logging.getLogger("stoker.gateway")
T = TypeVar("T")

#: Room in the time budget: prefill slows down as the prompt grows, and its speed is an estimate.
_TIME_SHARE = 0.8
#: A prompt limit that follows a measured speed moves in steps, so that it stays the same from
#: turn to turn and the engine's prefix cache goes on hitting.
_LIMIT_STEP_TOKENS = 256
#: However slow the backend, an agent's prompt gets what it would get in a window of 2048 tokens.
#: Below that, the instructions are cut away: Qwen2.5-Coder-0.5B, asked to list a folder, called
#: the right tool in 20 of 20 tries with 1,486 tokens and in 1 of 20 with 724.
_LEAST_LIMIT_TOKENS = tokens.budget_for(2048).prompt_tokens
_SPEED_CHANGED = 1.5
#: Counts of a server that are remembered for a model: 16 bytes and a number each.
_COUNTS_KEPT = 4096
#: Requests under way at the same time that count the pieces of one prompt: the tools of an agent
#: are more than a hundred, and servers take one text at a time.
_COUNTED_AT_ONCE = 8
#: With these a server says that it can't read the request, rather than that it is not well.
REFUSED_TO_COUNT = (400, 422)
#: OpenAI's longest name of a tool; of a longer one the log holds the beginning.
_NAME_CHARS = 64
#: With these it says that it has no such path: it can't count at all, and is well.
_HAS_NO_COUNT = (404, 405, 501)
#: What OpenAI's completions write where a request names no limit.
_DEFAULT_COMPLETION_TOKENS = 16
#: A completion's prompt is counted without what tokenizers put around it: a token at each end.
_SPECIAL_TOKENS = 2
#: The offer of tools that ``emulate`` writes, apart from the tools themselves.
_OFFER_BYTES = 1024


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How requests are fitted. ``max_prompt_tokens`` may be a number, ``auto`` or ``None``."""

    enabled: bool = True
    max_prompt_tokens: int | str | None = None
    first_token_target_s: float = 30.0
    #: Expected prefill speed, until one is measured.
    prefill_tokens_per_s: float | None = None
    #: A GGUF file or a folder with ``tokenizer.json`` to count with, here and at once. Left out,
    #: that of Ollama and LM Studio on this machine is found on its disk.
    tokenizer: Path | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as it is sent, and what is to be done with its answer."""

    request: Mapping[str, Any]
    header: str | None = None
    #: What the prompt was counted to be; ``None`` where it surely fits and was not counted.
    prompt_tokens: int | None = None
    max_tokens: int | None = None
    cuts: tokens.Cuts = field(default_factory=tokens.Cuts)
    rewrite: TextCalls | None = None
    #: What ``prompt_tokens`` was corrected by.
    correction: tokens.Correction = field(default_factory=tokens.Correction)


@dataclass(frozen=True, slots=True)
class _CountsHere:
    """``tokens.Counts`` with a tokenizer in this process, of requests as they are sent."""

    tokenizer: tokens.LocalTokenizer
    as_sent: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    correction: Callable[[], tokens.Correction]

    def count_strings(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text."""
        return self.tokenizer.count_strings(texts)

    def count_request(self, request: Mapping[str, Any]) -> int:
        """The tokens of the whole prompt."""
        sent = self.as_sent(request)
        return self.correction().corrected(sent, self.tokenizer.count_request(sent))


class Fitter:
    """Counts and fits for one model as one backend serves it."""

    def __init__(
        self,
        model: ServedModel,
        backend: Backend,
        settings: FitSettings,
        metrics: Metrics,
        worker: ThreadPoolExecutor,
    ) -> None:
        self.model = model
        self._backend = backend
        self._settings = settings
        self._metrics = metrics
        self._worker = worker
        #: Counts without asking the server; ``None`` where that would not be exact.
        self._here: _CountsHere | None = None
        self._looked_here = False
        #: A request had to be counted, and nothing could.
        self._uncountable = False
        self._calibration: tokens.Calibration | None = None
        self._overheads = tokens.Overheads()
        self._correction = tokens.Correction()
        #: What the server counted, by the content of what it was sent; the oldest first.
        self._counted: OrderedDict[bytes, int] = OrderedDict()
        #: What the server counted of single texts, while it can.
        self._pieces = tokens.PieceCache()
        self._counts_texts = True
        self._ready: asyncio.Task[None] | None = None
        self._prefill_tokens_per_s = settings.prefill_tokens_per_s
        self._timed_limit = self._limit_for_time()

    async def prepare(
        self, http: aiohttp.ClientSession, request: dict[str, Any], *, fit: bool = True
    ) -> Prepared:
        """The request, fitted and with its tools offered in a way that the model understands.

        Raises ``ContextLengthExceededError`` where it can't be made to fit.
        """
        rewrite = _calls_in_text(request)
        if not (fit and self._settings.enabled and self.model.max_model_len):
            return Prepared(self._as_sent(request), rewrite=rewrite)
        limit = self._prompt_limit()
        asked = tokens.asked_max_tokens(request)
        budget = tokens.budget_for(self.model.max_model_len, asked, max_prompt_tokens=limit)
        overheads = self._overheads_of(request)
        bound = tokens.prompt_bound(request, overheads)
        if bound is not None and _surely_fits(bound, asked, budget):
            return Prepared(self._as_sent(request), max_tokens=asked, rewrite=rewrite)
        try:
            await self._get_ready(http)
            correction = self._correction
            steps = tokens.fit(request, budget, overheads=overheads, calibration=self._calibration)
            fitted = await self._drive(http, steps)
        except NotImplementedError:
            self._uncountable = True
            _log.warning(
                "%s: nothing can count for it, so its requests are not fitted", self.model.id
            )
        except tokens.TokenizerError:
            # How many tokens an image is, only its server knows.
            if not parts_beyond_text(request):
                raise
        except aiohttp.ClientResponseError as refused:
            # What can't be counted can't be answered either, and its server says why: vLLM
            # refuses both where a text model is sent an image.
            if refused.status not in REFUSED_TO_COUNT:
                raise
        else:
            self._note(fitted)
            return Prepared(
                self._as_sent(fitted.request),
                header=fitted.header(),
                prompt_tokens=fitted.prompt_tokens,
                max_tokens=fitted.max_tokens,
                cuts=fitted.cuts,
                rewrite=rewrite,
                correction=correction,
            )
        return Prepared(self._as_sent(request), max_tokens=asked, rewrite=rewrite)

    async def prepare_completion(
        self, http: aiohttp.ClientSession, request: dict[str, Any], *, fit: bool = True
    ) -> Prepared:
        """A completion whose answer ends within the window. Its prompt is never cut.

        Raises ``ContextLengthExceededError`` where the prompt leaves no room for an answer.
        """
        window = self.model.max_model_len
        if not (fit and self._settings.enabled and window):
            return Prepared(request)
        prompt_tokens = await self._completion_tokens(http, request, window)
        if prompt_tokens is not None and prompt_tokens >= window:
            raise tokens.ContextLengthExceededError(prompt_tokens, window - 1, window, "prompt")
        most = window - (0 if prompt_tokens is None else prompt_tokens + _SPECIAL_TOKENS)
        return Prepared(tokens.clamp_max_tokens(request, max(1, most)))

    async def _completion_tokens(
        self, http: aiohttp.ClientSession, request: Mapping[str, Any], window: int
    ) -> int | None:
        """The prompt's tokens; ``None`` where it surely fits or nothing can count it.

        Engines refuse what does not fit, so a server that can't count now is no reason to wait.
        """
        prompt = request.get("prompt")
        if not isinstance(prompt, str):
            return None
        asked = tokens.asked_max_tokens(request) or _DEFAULT_COMPLETION_TOKENS
        as_message = {"messages": [{"content": prompt}]}
        bound = tokens.prompt_bound(as_message, tokens.Overheads(0, 0, 0))
        if bound is not None and bound + asked <= window:
            return None
        try:
            (count,) = await self.count_texts(http, [prompt])
        except (NotImplementedError, aiohttp.ClientError, asyncio.TimeoutError, StokerError):
            return None
        return count

    @property
    def fits(self) -> bool:
        """Whether requests are made to fit: it is wanted, the window known, and tokens counted."""
        return self._settings.enabled and bool(self.model.max_model_len) and not self._uncountable

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """How fast the backend reads a prompt: as measured, or as the plan predicts."""
        return self._prefill_tokens_per_s

    async def count_request(self, http: aiohttp.ClientSession, request: Mapping[str, Any]) -> int:
        """The exact prompt tokens of a chat request."""
        await self._get_ready(http)
        return await self._drive(http, _one_count(request))

    async def count_texts(self, http: aiohttp.ClientSession, texts: Sequence[str]) -> Sequence[int]:
        """The exact tokens of each text by itself."""
        await self._get_ready(http)
        here = self._here
        if here is not None:
            return await self._in_worker(lambda: here.count_strings(texts))
        server_client = engines.server_client(self._backend.engine)
        with _without_a_path():
            return await server_client.count_texts(http, self._backend, self.model.id, texts)

    def learn(self, prepared: Prepared, usage: Mapping[str, Any], prefill: float | None) -> None:
        """Compare the count before with the backend's after; remember how fast it reads."""
        used = usage.get("prompt_tokens")
        if prepared.prompt_tokens is not None and type(used) is int:
            self._reconcile(prepared, tokens.Reconciled(prepared.prompt_tokens, used))
        if prefill is not None:
            self._learn_speed(prefill)

    def _reconcile(self, prepared: Prepared, reconciled: tokens.Reconciled) -> None:
        if reconciled.is_exact:
            return
        self._metrics.mismatches.labels(self.model.id).inc()
        plausible = reconciled.is_plausible(prepared.request)
        _log.warning(
            "%s: counted %d prompt tokens, the backend counted %d%s",
            self.model.id,
            reconciled.counted_tokens,
            reconciled.used_tokens,
            "" if plausible else ": too far off to learn from",
        )
        self._correction = self._correction.learn(prepared.request, reconciled, prepared.correction)

    # How the prompt's limit follows the time that is given

    def _prompt_limit(self) -> int | None:
        wanted = self._settings.max_prompt_tokens
        return wanted if isinstance(wanted, int) else self._timed_limit if wanted else None

    def _limit_for_time(self) -> int | None:
        speed = self._prefill_tokens_per_s
        if speed is None:
            return None
        target_s = self._settings.first_token_target_s * _TIME_SHARE
        limit = tokens.prompt_tokens_for_time(speed, target_s)
        return max(_LEAST_LIMIT_TOKENS, limit // _LIMIT_STEP_TOKENS * _LIMIT_STEP_TOKENS)

    def _learn_speed(self, measured: float) -> None:
        known = self._prefill_tokens_per_s
        changed = known is None or not 1 / _SPEED_CHANGED < measured / known < _SPEED_CHANGED
        if changed:
            self._prefill_tokens_per_s = measured
            self._timed_limit = self._limit_for_time()

    # Counting

    async def _get_ready(self, http: aiohttp.ClientSession) -> None:
        """Read the tokenizer and measure the template, once, when it is first needed."""
        if self._ready is None or (self._ready.done() and self._ready.exception()):
            self._ready = asyncio.create_task(self._measure(http))
        await asyncio.shield(self._ready)

    async def _measure(self, http: aiohttp.ClientSession) -> None:
        if not self._looked_here:
            self._looked_here = True  # once, also where the server is asked again in vain
            local = await self._in_worker(self._local_tokenizer)
            if local is not None and await self._agrees(http, local):
                self._here = _CountsHere(local, self._as_sent, lambda: self._correction)
                self._overheads = _overheads_of(local)
        self._calibration = await self._drive(http, tokens.calibrate())

    def _local_tokenizer(self) -> tokens.LocalTokenizer | None:
        """What is configured; else out of the file that a server on this machine reads."""
        if self._settings.tokenizer is not None:
            return _load(self._settings.tokenizer)
        if not network_addresses.is_loopback(urlsplit(self._backend.url).hostname or ""):
            return None
        path = engines.lookup(self._backend.engine).local_file(self.model.id)
        local = _load(path) if path else None
        # Ollama keeps templates of its own. One in the file that is silent about tools, where
        # the server takes them, is not the one that it uses.
        if local is None or local.template is None:
            return None
        silent = not tokens.tool_calls.template_has_tools(local.template.source)
        return None if silent and self.model.tools != "none" else local

    async def _agrees(self, http: aiohttp.ClientSession, local: tokens.LocalTokenizer) -> bool:
        """Whether the tokenizer here counts as the server does, on what tells templates apart."""
        server_client = engines.server_client(self._backend.engine)
        for probe in _PROBES:
            request = self._as_sent({**probe, "model": self.model.id})
            try:
                there = await server_client.count(http, self._backend, request)
            except (aiohttp.ClientError, NotImplementedError, asyncio.TimeoutError):
                continue  # a server that can't count can't disagree
            try:
                here = await self._in_worker(partial(local.count_request, request))
            except tokens.TokenizerError:
                return False
            if here != there:
                _log.info("%s: its server counts %d where we count %d", self.model.id, there, here)
                return False
        return True

    async def _drive(self, http: aiohttp.ClientSession, steps: tokens.Steps[T]) -> T:
        here = self._here
        if here is not None:
            return await self._in_worker(lambda: tokens.drive(steps, here))
        with _without_a_path():
            return await tokens.drive_async(steps, lambda ask: self._answer(http, ask))

    async def _answer(self, http: aiohttp.ClientSession, ask: tokens.CountQuery) -> Sequence[int]:
        """Answer what the fitter asks, by asking the server."""
        if isinstance(ask, tokens.CountStrings):
            return await self._count_pieces(http, ask.texts)
        request = self._as_sent({**ask.request, "model": self.model.id})
        return [self._correction.corrected(request, await self._count_there(http, request))]

    async def _count_pieces(
        self, http: aiohttp.ClientSession, texts: Sequence[str]
    ) -> Sequence[int]:
        """Ask the server for each text once. Where it counts whole requests only, estimate."""
        missing = self._pieces.missing(texts) if self._counts_texts else []
        parts = [missing[at::_COUNTED_AT_ONCE] for at in range(_COUNTED_AT_ONCE)]
        count = engines.server_client(self._backend.engine).count_texts
        asked = (count(http, self._backend, self.model.id, part) for part in parts if part)
        try:
            answers = await asyncio.gather(*asked)
        except NotImplementedError:
            self._counts_texts = False
        except aiohttp.ClientResponseError as refused:
            if refused.status not in (*REFUSED_TO_COUNT, *_HAS_NO_COUNT):
                raise
            self._counts_texts = False
        if not self._counts_texts:
            return tokens.estimate_strings(texts)
        told = zip((p for p in parts if p), answers, strict=True)
        found = {t: n for part, counts in told for t, n in zip(part, counts, strict=True)}
        return self._pieces.count(texts, lambda asked: [found[text] for text in asked])

    async def _count_there(self, http: aiohttp.ClientSession, request: Mapping[str, Any]) -> int:
        """Ask the server for the tokens of a request as it is sent, once for each content."""
        key = _content_of(request)
        known = self._counted.get(key) if key else None
        if known is None:
            server_client = engines.server_client(self._backend.engine)
            known = await server_client.count(http, self._backend, request)
        if key:
            self._counted[key] = known
            self._counted.move_to_end(key)
            if len(self._counted) > _COUNTS_KEPT:
                self._counted.popitem(last=False)
        return known

    # The request's two forms

    def _as_sent(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request as the backend gets it: with tools in the prompt where it takes none."""
        if self.model.tools == "none" and _speaks_of_tools(request):
            return tokens.tool_calls.emulate(request)
        return engines.server_client(self._backend.engine).adapt(request)

    def _overheads_of(self, request: Mapping[str, Any]) -> tokens.Overheads:
        if self.model.tools == "none" and request.get("tools"):
            return replace(self._overheads, base=self._overheads.base + _OFFER_BYTES)
        return self._overheads

    def _note(self, fitted: tokens.Fit) -> None:
        if not fitted.cuts.any:
            return
        for step, happened in _steps_of(fitted.cuts).items():
            if happened:
                self._metrics.fits.labels(self.model.id, step).inc()
        _log.info(
            "fitted a request for %s: %s%s",
            self.model.id,
            fitted.header(),
            _dropped(fitted.cuts),
        )

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)


@contextlib.contextmanager
def _without_a_path() -> Iterator[None]:
    """Tell a server that has no path to count at from one that is down."""
    try:
        yield
    except aiohttp.ClientResponseError as refused:
        if refused.status in _HAS_NO_COUNT:
            raise NotImplementedError("the server has no path to count at") from refused
        raise


def _surely_fits(bound: int, asked: int | None, budget: tokens.Budget) -> bool:
    """Whether a prompt of at most ``bound`` tokens needs neither counting nor a clamp."""
    return bound <= budget.prompt_tokens and bound + (asked or 0) <= budget.max_model_len


def _content_of(request: Mapping[str, Any]) -> bytes | None:
    """A hash of all that is sent, the model's name included; ``None`` where it can't be written."""
    try:
        return hashlib.blake2b(orjson.dumps(request), digest_size=16).digest()
    except TypeError:  # it nests deeper than orjson writes
        return None


def _one_count(request: Mapping[str, Any]) -> tokens.Steps[int]:
    (count,) = yield tokens.CountRequest(request)
    return count


def _overheads_of(local: tokens.LocalTokenizer) -> tokens.Overheads:
    if local.template is None:
        return tokens.Overheads()
    return tokens.overheads_of(local.template.source)


def _steps_of(cuts: tokens.Cuts) -> dict[str, bool]:
    return {
        "tools": bool(cuts.tools_dropped),
        "results": bool(cuts.results_shortened),
        "messages": bool(cuts.messages_dropped),
        "system": bool(cuts.system_chars_cut),
        "schemas": cuts.schemas != tokens.Cuts().schemas,
    }


def _dropped(cuts: tokens.Cuts) -> str:
    """The names of the tools that were left out; a name is the client's, so it is quoted."""
    names = ", ".join(ascii(name[:_NAME_CHARS]) for name in cuts.tools_dropped)
    return f"; without the tools {names}" if names else ""


def _load(path: Path) -> tokens.LocalTokenizer | None:
    read = tokens.LocalTokenizer.from_folder if path.is_dir() else tokens.LocalTokenizer.from_gguf
    try:
        return read(path)
    except (StokerError, OSError) as error:
        _log.info("no tokenizer to count with here: %s", error)
        return None


def _speaks_of_tools(request: Mapping[str, Any]) -> bool:
    if request.get("tools"):
        return True
    return any(
        message.get("tool_calls") or message.get("role") == "tool"
        for message in request.get("messages") or ()
    )


def _calls_in_text(request: Mapping[str, Any]) -> TextCalls | None:
    tools = request.get("tools")
    return TextCalls(tools) if tools and request.get("tool_choice") != "none" else None


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
            {"role": "user", "content": "Thanks."},
        ],
        "tools": [_TOOL],
    },
)
