"""Grafana's dashboard and Prometheus' alerts, in a real Prometheus that scrapes a real gateway."""

from __future__ import annotations

import asyncio
import math
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from ruamel.yaml import YAML
from tests.support import prometheus_server
from tests.support.prometheus_server import PrometheusServer, promtool
from tests.unit.gateway.backends import DONE, Call, Front, answer, event, front, running

from stoker import monitoring
from stoker.access.api_keys import Keys, hash_of
from stoker.access.caller import Caller, CallerLimits
from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served
from stoker.gateway.limiting import limits_store

pytestmark = pytest.mark.databases

RULES_TEST = Path(__file__).parents[1] / "fixtures/prometheus/rules_test.yaml"
ANN = CallerLimits(tokens_per_day=10**9, requests_per_minute=10**6)
CALLERS = {
    "ann's": Caller("ann", "1", limits=ANN),
    "prometheus'": Caller("prometheus", "2", role="admin", models=("none",)),
}
USAGE = {
    "prompt_tokens": 700,
    "completion_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 500},
}
LONG = [
    {"role": role, "content": "word " * 800} for _ in range(12) for role in ("user", "assistant")
]
#: What Grafana puts in place of its variables, and what would hide that a series is missing.
REPLACED = {
    " or vector(0)": "",
    "$__rate_interval": "1m",
    "$job": ".*",
    "$instance": ".*",
    "$model": ".*",
}


#: What is on in front of a backend and a store that are down.
DOWN = {"StokerBackendDown", "StokerLimitsStoreDown", "StokerErrors"}


def expressions_of_dashboard() -> dict[str, str]:
    """Each expression, by its panel and its name there."""
    panels = orjson.loads(monitoring.dashboard())["panels"]
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels
        for target in panel.get("targets", [])
    }
    for name, value in REPLACED.items():
        found = {panel: expr.replace(name, value) for panel, expr in found.items()}
    return found


def alerts() -> list[dict[str, Any]]:
    (group,) = YAML(typ="safe").load(monitoring.rules())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def measured(alert: dict[str, Any]) -> str:
    """What an alert compares, without the comparison, which mostly gives nothing."""
    expression, compared = re.subn(r"\s*(==|>)\s*[\d.]+\s*$", "", alert["expr"])
    assert compared == 1, alert["expr"]
    return expression


async def answers(call: Call) -> None:
    if "tokenize" in call.path:
        await call.send(answer(orjson.dumps({"count": len(str(call.body)) // 4})))
    else:
        await call.stream(event("hi"), event("ho"), event(usage=USAGE), DONE)


@asynccontextmanager
async def gateway() -> AsyncIterator[Front]:
    """A gateway with a backend that answers, one that is down, and a store that is away."""
    away = partial(limits_store.counters, "redis://127.0.0.1:9/0")
    served = Gateway(Keys({hash_of(k): c for k, c in CALLERS.items()}), counters=away)
    async with running(answers) as (backend,):
        served.serve(
            [
                Served(Backend(backend.url, "sglang"), [ServedModel("coder", max_model_len=8192)]),
                Served(Backend("http://127.0.0.1:9", "vllm"), [ServedModel("gone")]),
            ]
        )
        for _ in range(3):
            served.pool.backends[1].failed()
        async with front(served) as door:
            yield door


async def ask(door: Front, key: str, **fields: Any) -> int:
    body = {"model": "coder", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    headers = {"Authorization": f"Bearer {key}"}
    return (await door.post(orjson.dumps({**body, **fields}), headers=headers)).status


async def use_all(door: Front) -> None:
    """One request of each kind that a panel shows."""
    assert await ask(door, "ann's") == 200
    assert await ask(door, "ann's", messages=[*LONG, {"role": "user", "content": "hi"}]) == 200
    assert await ask(door, "ann's", model="gone") == 503
    assert await ask(door, "ann's", messages=7) == 400


def series_of(prometheus: PrometheusServer, expression: str) -> list[dict[str, Any]]:
    """The series with a value: one that is no number is a hole in a panel."""
    found = prometheus.query(expression)
    return [series for series in found if not math.isnan(float(series["value"][1]))]


def missing(prometheus: PrometheusServer, expressions: dict[str, str]) -> dict[str, str]:
    """Those that give nothing."""
    return {name: e for name, e in expressions.items() if not series_of(prometheus, e)}


async def eventually(condition: Callable[[], bool], door: Front, within_s: float = 90) -> None:
    """Use the gateway until something is so."""
    deadline = time.monotonic() + within_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline
        await use_all(door)
        await asyncio.sleep(0.2)


async def test_every_panel_and_every_alert_reads_series_that_a_gateway_has(tmp_path: Path) -> None:
    expressions = expressions_of_dashboard()
    assert len(expressions) > 30
    expressions |= {alert["alert"]: measured(alert) for alert in alerts()}
    async with gateway() as door:
        target = door.url.removeprefix("http://")
        with prometheus_server.running(
            tmp_path, target, "prometheus'", monitoring.rules()
        ) as prometheus:
            left = dict(expressions)

            def all_have() -> bool:
                nonlocal left
                left = missing(prometheus, left)
                return not left

            try:
                await eventually(all_have, door)
            except AssertionError:
                pytest.fail(f"these give nothing: {left}")
            await eventually(lambda: alerts_on(prometheus) >= DOWN, door)
            _check_rules(prometheus)
            _check_variables(prometheus)
            assert series_of(prometheus, "gen_ai_client_inference_usage_input_tokens_total > 0")


def _check_rules(prometheus: PrometheusServer) -> None:
    """Prometheus has evaluated every alert, and none of what is well here is on."""
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {alert["alert"] for alert in alerts()}
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    well = {"StokerGatewayDown", "StokerNoBackend", "StokerQuotaNearlyUsed"}
    assert not well & alerts_on(prometheus)


def alerts_on(prometheus: PrometheusServer) -> set[str]:
    """The alerts that are on, or will be when they have lasted long enough."""
    return {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}


def _check_variables(prometheus: PrometheusServer) -> None:
    """Each of the dashboard's variables has something to choose from."""
    variables = orjson.loads(monitoring.dashboard())["templating"]["list"]
    asked = [re.fullmatch(r"label_values\((.+), (\w+)\)", v["definition"]) for v in variables[1:]]
    for found in asked:
        assert found
        selector = re.sub(r"\$\w+", ".*", found[1])
        values = prometheus.get(f"label/{found[2]}/values", **{"match[]": selector})
        assert values, found[0]


def test_rules_are_well_formed_and_each_alert_is_on_when_it_should_be(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(monitoring.rules())
    checked = promtool("check", "rules", "--lint-fatal", str(tmp_path / "rules.yaml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    shutil.copy(RULES_TEST, tmp_path)
    tested = promtool("test", "rules", str(tmp_path / RULES_TEST.name))
    assert tested.returncode == 0, tested.stdout + tested.stderr
    unit_tests = RULES_TEST.read_text()
    assert [a["alert"] for a in alerts() if f"alertname: {a['alert']}" not in unit_tests] == []
