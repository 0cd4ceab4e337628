"""How long requests took, by model, under OpenTelemetry's names. No owner: see ``owner_use``."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from stoker.gateway.usage import genai_conventions as genai
from stoker.gateway.usage.tallies import TallyBuckets, TallyHistogram
from stoker.usage_records import UsageRow

_LABELS = [genai.in_prometheus(n) for n in (genai.OPERATION, genai.PROVIDER, genai.REQUEST_MODEL)]
_ERROR = genai.in_prometheus(genai.ERROR_TYPE)
#: A request waits for a slot for ``GatewayTimings.max_wait_s`` at most.
_QUEUE_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)


@dataclass(frozen=True, slots=True)
class _Successes:
    """The histograms of one model's requests that succeeded."""

    duration: TallyBuckets
    first_token: TallyBuckets
    output_token: TallyBuckets


class RequestTimes:
    """Histograms by operation, provider and model. All three are the gateway's own words."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = TallyHistogram(
            genai.in_prometheus(genai.SERVER_REQUEST_DURATION) + "_seconds",
            "From a request to the end of its answer; error_type is the status of a failure",
            [*_LABELS, _ERROR],
            genai.DURATION_BUCKETS_S,
            registry,
        )
        self._first_token = TallyHistogram(
            genai.in_prometheus(genai.SERVER_TIME_TO_FIRST_TOKEN) + "_seconds",
            "From a request to the first token of its stream",
            _LABELS,
            genai.FIRST_TOKEN_BUCKETS_S,
            registry,
        )
        self._output_token = TallyHistogram(
            genai.in_prometheus(genai.SERVER_TIME_PER_OUTPUT_TOKEN) + "_seconds",
            "For each token of a stream after the first one",
            _LABELS,
            genai.OUTPUT_TOKEN_BUCKETS_S,
            registry,
        )
        queue = TallyHistogram(
            "stoker_queue_seconds",
            "For how long a request waited for a backend",
            (),
            _QUEUE_BUCKETS_S,
            registry,
        )
        self._queue = queue.labels()
        #: Finding a histogram by its labels costs more than counting in it.
        self._successes: dict[tuple[str, str, str], _Successes] = {}

    def note(self, row: UsageRow, provider: str, *, streamed: bool) -> None:
        """Count a request that has ended.

        Only a stream shows when its first token came: a whole answer is sent at its end.
        """
        self._queue.observe(row.queue_s or 0.0)
        labels = (genai.operation_of(row.path), provider, row.model)
        if row.status >= 400:
            self._duration.labels(*labels, str(row.status)).observe(row.total_s)
            return
        successes = self._successes.get(labels)
        if successes is None:
            successes = self._successes[labels] = self._of(labels)
        successes.duration.observe(row.total_s)
        first_s = row.first_byte_s
        if not streamed or first_s is None:
            return
        successes.first_token.observe(first_s)
        following = (row.completion_tokens or 0) - 1
        if following > 0:
            successes.output_token.observe((row.total_s - first_s) / following)

    def _of(self, labels: tuple[str, str, str]) -> _Successes:
        return _Successes(
            self._duration.labels(*labels, ""),
            self._first_token.labels(*labels),
            self._output_token.labels(*labels),
        )
