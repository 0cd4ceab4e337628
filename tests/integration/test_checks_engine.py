"""The gateway passes the checks that real llama.cpp alone fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.integration.conftest import Stoker
from tests.support.generators import returned

from stoker import checks
from stoker.checks import CheckReport, Endpoint, Status

pytestmark = pytest.mark.engine
xllamacpp = pytest.importorskip("xllamacpp")

QWEN = "qwen2.5-coder-0.5b"
WINDOW = 2048
#: The checks that llama.cpp fails with this model and context, and that the gateway must pass:
#: calls in the text, ignored demands, tools that do not fit, unchecked names, connections that end
#: without an error.
MENDED = (
    "reach.connection-reuse",
    "models.unknown-model",
    "tools.auto",
    "tools.required",
    "tools.named",
    "tools.agent-prompt",
)
#: Skipped for llama.cpp alone, which makes no call to check.
FORMS = ("tools.form", "tools.finish", "tools.stream")


def report_on_llama_cpp_alone(model_path: Path) -> CheckReport:
    """llama.cpp's own server, with the settings that `stoker up` gives it."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model_path)
    params.n_ctx = WINDOW
    params.n_parallel = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.use_jinja = True
    params.warmup = False
    server = xllamacpp.Server(params)
    found = checks.look_at(server.listening_address, None)
    model, window = checks.choose_model(found, None)
    endpoint = Endpoint(found.backend.url, model, window=window)
    return returned(checks.run(endpoint, checks.chosen(MENDED)))


def test_the_gateway_fixes_what_llama_cpp_alone_fails(qwen: Path, stoker: Stoker) -> None:
    alone = report_on_llama_cpp_alone(qwen)
    kept = [r.check.id for r in alone.results if r.status is Status.PASSED]
    assert kept == [], "llama.cpp passes these now: remove them from the list"

    stoker.up(QWEN, "--context", str(WINDOW), "--parallel", "1")
    only = [part for name in (*MENDED, *FORMS) for part in ("--only", name)]
    done = stoker.run("test", "--json", *only, timeout=600)
    results = {c["id"]: (c["result"], c["said"]) for c in json.loads(done.stdout)["checks"]}
    assert {i: r for i, r in results.items() if r[0] != "pass"} == {}
    assert done.returncode == 0
