"""OpenTelemetry's names for generative AI, and nothing else: they are still in development.

Source: https://github.com/open-telemetry/semantic-conventions-genai, version 0.1.0, with general
names of https://github.com/open-telemetry/semantic-conventions, version 1.44.0. OpenTelemetry's
own Python package has the older names, ``gen_ai.client.token.usage`` among them, and marks them as
moved there. A new version of the conventions changes this file alone, and what is built on the
metrics: ``stoker.monitoring``.
"""

from __future__ import annotations

VERSION = "0.1.0"

# Metrics. Prometheus writes a dot as `_`, and a counter ends in `_total`.

#: From a request to the end of its answer, in seconds; also of requests that failed.
SERVER_REQUEST_DURATION = "gen_ai.server.request.duration"
#: To the first token of a stream, in seconds; of requests that succeeded.
SERVER_TIME_TO_FIRST_TOKEN = "gen_ai.server.time_to_first_token"  # noqa: S105  (no password)
#: For each token of a stream after the first one, in seconds; of requests that succeeded.
SERVER_TIME_PER_OUTPUT_TOKEN = "gen_ai.server.time_per_output_token"  # noqa: S105
#: Tokens of prompts, those from a cache among them.
USAGE_INPUT_TOKENS = "gen_ai.client.inference.usage.input_tokens"
#: Tokens of answers, those of reasoning among them.
USAGE_OUTPUT_TOKENS = "gen_ai.client.inference.usage.output_tokens"
USAGE_CACHE_READ = "gen_ai.client.inference.usage.cache_read.input_tokens"
USAGE_REASONING = "gen_ai.client.inference.usage.reasoning.output_tokens"

#: The conventions' buckets of ``SERVER_REQUEST_DURATION``, and two more: an agent's turn on a CPU
#: takes minutes.
DURATION_BUCKETS_S = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    *(163.84, 327.68),
)
#: Those of ``SERVER_TIME_TO_FIRST_TOKEN``, and five more: reading a prompt on a CPU takes minutes.
FIRST_TOKEN_BUCKETS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 30.0, 60.0, 120.0, 300.0),
)
#: Those of ``SERVER_TIME_PER_OUTPUT_TOKEN``.
OUTPUT_TOKEN_BUCKETS_S = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
)

# Attributes of metrics and spans.

OPERATION = "gen_ai.operation.name"
#: The conventions list companies; a server of one's own has the name of its engine.
PROVIDER = "gen_ai.provider.name"
#: The model's own name. What a client wrote may be an alias, and any text.
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
#: The status of an answer that is no success; 499 is a client that left.
ERROR_TYPE = "error.type"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

#: The provider of a request that was sent to no backend, or to one whose engine is not known.
NO_PROVIDER = "unknown"

#: Of the paths that take no chat.
_OPERATIONS = {
    "/v1/completions": "text_completion",
    "/infill": "text_completion",
    "/v1/embeddings": "embeddings",
}


def operation_of(path: str) -> str:
    """``gen_ai.operation.name`` of requests to a path."""
    return _OPERATIONS.get(path, "chat")


def in_prometheus(name: str) -> str:
    """A name as OpenTelemetry's own exporter writes it for Prometheus, without unit and suffix.

    https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
    """
    return name.replace(".", "_")
