"""What `/metrics` shows of owners and models: bounded, escaped, and only for those who may see it.

Prometheus' own client reads it here, as a real Prometheus does in ``tests/integration``.
"""

from __future__ import annotations

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from tests.unit.gateway.backends import (
    DONE,
    Call,
    Front,
    answer,
    event,
    gateway_to,
    gateway_with,
    usage,
)

from stoker.access.api_keys import Keys, hash_of
from stoker.access.caller import Caller, CallerLimits
from stoker.gateway.api.path_rules import BACKEND_PATHS
from stoker.gateway.model_aliases import ModelAliases
from stoker.gateway.usage import genai_conventions as genai
from stoker.gateway.usage.metrics import Metrics
from stoker.gateway.usage.owner_use import IDLE_S, OTHER, OwnerUse
from stoker.usage_records import UsageRow

ROW = UsageRow(
    *(0, "ann", "k1", "coder", "/v1/chat/completions", 200),
    *(70, 30, 60, 20),
    *(0, 0.2, 3.2, 0.1),
    *(0, 0, "", None),
)
CALLERS = {
    "ann's": Caller("ann", "1", limits=CallerLimits(tokens_per_day=1000, cost_per_month=1.0)),
    "vera's": Caller("vera", "2", role="viewer"),
    "boss's": Caller("boss", "3", role="admin", models=("none",)),
}
KEYS = Keys({hash_of(key): caller for key, caller in CALLERS.items()})
INPUT = "gen_ai_client_inference_usage_input_tokens_total"
DURATION = "gen_ai_server_request_duration_seconds_count"


def samples_in(text: str) -> list[Sample]:
    """Every sample, as Prometheus' client reads them."""
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def values(text: str, name: str, label: str = "owner") -> dict[str, float]:
    """The sums of one metric by one label."""
    sums: dict[str, float] = {}
    for sample in samples_in(text):
        if sample.name == name:
            key = sample.labels.get(label, "")
            sums[key] = sums.get(key, 0.0) + sample.value
    return sums


def shown(metrics: Metrics) -> str:
    return metrics.text(with_owners=True).decode()


async def streamed(call: Call) -> None:
    await call.stream(event("hi"), event("ho"), usage(), DONE)


async def read(front: Front, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    async with front.http.get(front.url + "/metrics", headers=headers) as response:
        assert response.status == 200
        return await response.text()


async def ask(front: Front, key: str) -> int:
    body = {"messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 5}
    reply = await front.post(orjson.dumps(body), headers={"Authorization": f"Bearer {key}"})
    return reply.status


async def test_owner_is_shown_with_model_and_engine_to_an_admin_alone() -> None:
    async with gateway_with(streamed, keys=KEYS, engine="vllm") as (front, _):
        assert await ask(front, "ann's") == 200
        found = await read(front, "boss's")
        (sample,) = [s for s in samples_in(found) if s.name == INPUT]
        assert sample.labels == {
            "owner": "ann",
            "gen_ai_operation_name": "chat",
            "gen_ai_provider_name": "vllm",
            "gen_ai_request_model": "coder",
        }
        assert sample.value == 7
        assert values(found, "stoker_owner_requests_total") == {"ann": 1}
        assert values(found, "gen_ai_client_inference_usage_output_tokens_total") == {"ann": 3}
        for key in ("ann's", "vera's"):
            text = await read(front, key)
            assert "gen_ai_server_request_duration_seconds_bucket" in text
            assert "ann" not in text


async def test_what_a_client_sends_is_in_no_label_that_an_admin_reads() -> None:
    async with gateway_with(streamed, keys=KEYS) as (front, _):
        front.gateway.use_aliases(ModelAliases({"canary-*": "coder"}))
        turns = [{"role": "user", "content": "canary"}]
        body = {"messages": turns, "model": "canary-model", "user": "canary", "stream": True}
        headers = {
            "Authorization": "Bearer ann's",
            "x-session-id": "canary",
            "traceparent": "canary",
            "user-agent": "canary",
        }
        for sent in (body, {**body, "model": "canary"}, {**body, "messages": "canary"}):
            await front.post(orjson.dumps(sent), "/v1/chat/completions?canary=1", headers)
        found = await read(front, "boss's")
        assert values(found, INPUT) == {"ann": 7}
        assert "canary" not in found
        assert not [key for key in CALLERS if key in found]


async def test_gateway_without_keys_shows_all_to_its_users() -> None:
    async with gateway_with(streamed) as (front, _):
        await front.stream()
        assert values(await front.metrics(), INPUT) == {"anyone": 7}


async def test_quotas_of_a_day_and_a_month_show_how_much_is_gone() -> None:
    async with gateway_with(streamed, keys=KEYS) as (front, _):
        for _ in range(3):
            assert await ask(front, "ann's") == 200
        found = values(await read(front, "boss's"), "stoker_quota_used_ratio", "quota")
    assert found.keys() == {"tokens_per_day", "cost_per_month"}
    assert found["tokens_per_day"] == 20 / 1000, "what the two before the last one used"


async def test_times_of_a_stream_are_those_of_the_conventions() -> None:
    async with gateway_with(streamed, engine="vllm") as (front, _):
        await front.stream()
        text = await front.metrics()
    for name in (
        DURATION,
        "gen_ai_server_time_to_first_token_seconds_count",
        "gen_ai_server_time_per_output_token_seconds_count",
    ):
        assert values(text, name, "gen_ai_provider_name") == {"vllm": 1}
    assert values(text, "stoker_queue_seconds_count", "") == {"": 1}


async def test_whole_answer_has_no_time_to_its_first_token() -> None:
    async def whole(call: Call) -> None:
        await call.send(answer(b'{"choices": [], "usage": {"completion_tokens": 9}}'))

    async with gateway_with(whole) as (front, _):
        await front.chat()
        text = await front.metrics()
    assert values(text, DURATION, "error_type") == {"": 1}
    assert values(text, "gen_ai_server_time_to_first_token_seconds_count") in ({}, {"": 0})


async def test_failure_is_counted_by_its_status_and_not_as_a_success() -> None:
    async with gateway_to("http://127.0.0.1:9") as front:
        assert (await front.chat()).status == 503
        text = await front.metrics()
    assert values(text, DURATION, "error_type") == {"503": 1}


def test_every_path_of_a_backend_has_an_operation_of_the_conventions() -> None:
    found = {path: genai.operation_of(path) for path in BACKEND_PATHS}
    assert set(found.values()) == {"chat", "text_completion", "embeddings"}
    assert found["/v1/embeddings"] == "embeddings"
    assert found["/v1/completions"] == found["/infill"] == "text_completion"


def test_owners_beyond_the_bound_are_summed_up() -> None:
    metrics = Metrics()
    metrics.owners = OwnerUse(most_owners=3)
    for number in range(50):
        metrics.note(ROW._replace(owner=f"owner {number}"), "vllm", streamed=True)
    found = values(shown(metrics), INPUT)
    assert found == {"owner 0": 70, "owner 1": 70, "owner 2": 70, OTHER: 47 * 70}


def test_owner_who_asks_no_more_is_dropped_and_makes_room() -> None:
    now = [0.0]
    metrics = Metrics()
    metrics.owners = OwnerUse(most_owners=2, clock=lambda: now[0])
    metrics.note(ROW._replace(owner="gone"), "vllm", streamed=True)
    now[0] = IDLE_S / 2
    metrics.note(ROW, "vllm", streamed=True)
    metrics.note(ROW._replace(owner="late"), "vllm", streamed=True)
    now[0] = IDLE_S + 1
    metrics.owners.forget_idle()
    metrics.note(ROW._replace(owner="new"), "vllm", streamed=True)
    assert values(shown(metrics), INPUT) == {"ann": 70, OTHER: 70, "new": 70}


def test_name_that_is_no_persons_is_summed_up() -> None:
    metrics = Metrics()
    metrics.note(ROW._replace(owner="x" * 10_000), "vllm", streamed=True)
    assert values(shown(metrics), INPUT) == {OTHER: 70}


@settings(max_examples=100)
@given(
    st.sampled_from(["", '"} 1\nstoker_requests_total{model="', "\\", "\n# HELP "]),
    st.text(st.characters(exclude_categories=[]), min_size=1, max_size=90),
)
def test_no_name_of_an_owner_adds_a_line_or_breaks_one(start: str, end: str) -> None:
    owner = start + end
    found, plain = written_for(owner), written_for("ann")
    assert found.count("\n") == plain.count("\n")
    (sample,) = [s for s in samples_in(found) if s.name == INPUT]
    assert sample.labels["owner"] == owner.encode("utf-8", "replace").decode()


def written_for(owner: str) -> str:
    use = OwnerUse()
    use.note(ROW._replace(owner=owner), "vllm")
    return generate_latest(use.registry).decode()
