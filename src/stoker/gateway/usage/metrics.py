"""What the gateway counts, for Prometheus. Names and numbers only, never content."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from stoker.gateway.usage.owner_use import OwnerUse
from stoker.gateway.usage.request_times import RequestTimes
from stoker.gateway.usage.tallies import TallyCounter, TallyHistogram
from stoker.usage_records import UsageRow

_TTFT_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The gateway's own registry: a process may have several gateways."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = TallyCounter(
            "stoker_requests", "Requests answered", ["path", "model", "status"], registry
        )
        self.refused = Counter(
            "stoker_requests_refused",
            "Requests refused before they reached a backend, by reason",
            ["code"],
            registry=registry,
        )
        #: Requests being answered.
        self.in_flight = 0
        in_flight = Gauge("stoker_requests_in_flight", "Requests being answered", registry=registry)
        in_flight.set_function(lambda: self.in_flight)
        self.waiting = Gauge(
            "stoker_requests_waiting", "Requests waiting for a backend", registry=registry
        )
        self.unread = Gauge(
            "stoker_prompt_tokens_unread",
            "Prompt tokens that backends still have to read, where they report it",
            registry=registry,
        )
        self.reading = Gauge(
            "stoker_prompt_tokens_reading",
            "Tokens of the prompts that backends are reading, where they report it",
            registry=registry,
        )
        self.ttft = TallyHistogram(
            "stoker_time_to_first_byte_seconds",
            "From a whole request to the first byte of its answer",
            ["model"],
            _TTFT_BUCKETS,
            registry,
        )
        self.tokens = TallyCounter(
            "stoker_tokens", "Tokens as the backend counts them", ["model", "kind"], registry
        )
        self._times = RequestTimes(registry)
        self.owners = OwnerUse()
        self._add_prompts(registry)
        self._add_stores(registry)
        self._add_answers(registry)

    def note(self, row: UsageRow, provider: str, *, streamed: bool) -> None:
        """Count a request that has ended, as its row of usage has it.

        ``provider`` is the engine that it was sent to.
        """
        self._times.note(row, provider, streamed=streamed)
        self.owners.note(row, provider)

    def text(self, *, with_owners: bool = False) -> bytes:
        """All of them in Prometheus's text format; those by owner where they may be seen.

        It may be called in another thread: with 500 owners it takes about 50 ms.
        """
        text = generate_latest(self._registry)
        return text + generate_latest(self.owners.registry) if with_owners else text

    def _add_prompts(self, registry: CollectorRegistry) -> None:
        self.prefill = TallyCounter(
            "stoker_prefill_tokens",
            "Tokens of prompts: read, from the engine's cache (cached), or read though this engine "
            "had read them before (wasted, part of read)",
            ["model", "kind"],
            registry,
        )
        self.prefill_saved = TallyCounter(
            "stoker_prefill_saved_seconds",
            "What reading the tokens from the cache would have taken",
            ["model"],
            registry,
        )
        self.restored = Counter(
            "stoker_prompt_tokens_restored",
            "Tokens of prompts that the engine got from files when it was started",
            ["model"],
            registry=registry,
        )
        self.fits = Counter(
            "stoker_fits", "Requests that were cut to fit", ["model", "step"], registry=registry
        )
        self.mismatches = Counter(
            "stoker_count_mismatches",
            "Prompts whose count before was not the backend's count after",
            ["model"],
            registry=registry,
        )

    def _add_answers(self, registry: CollectorRegistry) -> None:
        self.tool_calls = Counter(
            "stoker_tool_calls_found", "Tool calls found in text", ["model"], registry=registry
        )
        self.faults = Counter(
            "stoker_backend_faults", "What was wrong with answers", ["fault"], registry=registry
        )
        self.left = Counter(
            "stoker_clients_left",
            "Clients that left before the answer was complete",
            registry=registry,
        )
        self.backend_up = Gauge(
            "stoker_backend_up", "Whether a backend can be used", ["backend"], registry=registry
        )

    def _add_stores(self, registry: CollectorRegistry) -> None:
        self.usage_lost = Counter(
            "stoker_usage_rows_lost",
            "Requests that are missing in the usage, because its database was away for too long",
            registry=registry,
        )
        self.limits_store_up = Gauge(
            "stoker_limits_store_up",
            "Whether the store that gateways share their limits in answers; they limit by "
            "themselves meanwhile",
            ["store"],
            registry=registry,
        )
