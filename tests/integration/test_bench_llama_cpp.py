"""``stoker bench`` measures real llama.cpp with figures that can be true."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Stoker

pytestmark = pytest.mark.engine

#: Few enough requests for a machine that has other work to do.
FEW = ("--concurrency", "1,2", "--requests", "3")
SHORT = ("--prompt-tokens", "150", "--max-tokens", "8")


@pytest.fixture
def served(stoker: Stoker, smollm2: str) -> Iterator[Stoker]:
    """A deployment of the small model."""
    stoker.up(smollm2, "--context", "4096")
    yield stoker
    assert stoker.run("down").returncode == 0


def rungs_of(document: dict[str, Any], **which: Any) -> list[dict[str, Any]]:
    return [r for r in document["rungs"] if all(r[key] == value for key, value in which.items())]


def test_the_running_deployment_is_measured_and_compared_with_its_plan(
    served: Stoker, tmp_path: Path
) -> None:
    page = tmp_path / "bench.html"
    shapes = ("--shape", "chat,completion", "--seconds", "100")
    done = served.run("bench", "--json", "--html", str(page), *shapes, *FEW, *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert len(document["rungs"]) == 2 * 2 * 2
    for rung in document["rungs"]:
        summary = rung["summary"]
        assert summary["answered"] == 3, summary["failures"]
        assert summary["answer_tokens"] == 8
        # Milliseconds on the quickest machine, and not a minute on the slowest.
        assert 0.001 < summary["first_token_s"]["p50"] < 60
        assert 0.0001 < summary["token_s"]["p50"] < 5
        assert summary["output_tokens_per_s"] > 0.1
    for shape in ("chat", "completion"):
        [cold] = rungs_of(document, shape=shape, cached=False, concurrency=1)
        [cached] = rungs_of(document, shape=shape, cached=True, concurrency=1)
        assert 100 < cold["summary"]["prompt_tokens"] < 300
        assert cached["summary"]["cached_tokens"] > cold["summary"]["cached_tokens"] + 50
        cold_s, cached_s = (r["summary"]["first_token_s"]["p50"] for r in (cold, cached))
        assert cached_s < cold_s
    predicted = {(p["what"], p["cached"]) for p in document["prediction"]}
    assert ("first token", False) in predicted
    assert ("time per token", True) in predicted
    assert all(p["measured_s"] > 0 for p in document["prediction"])
    assert "<svg" in page.read_text(encoding="utf-8")


def test_an_endpoint_beside_itself_is_as_quick_as_itself(served: Stoker) -> None:
    """An agent's turns, in turns through one address: a busy machine explains the rest."""
    shapes = ("--shape", "agent", "--prefix", "cached", "--concurrency", "1", "--requests", "4")
    done = served.run(
        "bench", served.endpoint, "--against", served.endpoint, "--json", *shapes, *SHORT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert [rung["endpoint"] for rung in document["rungs"]] == [0, 1]
    assert [rung["summary"]["answered"] for rung in document["rungs"]] == [4, 4]
    for side in document["ratios"]:
        assert side["ratio"]["low"] <= side["ratio"]["expected"] <= side["ratio"]["high"]
        assert 0.2 < side["ratio"]["expected"] < 5


def test_ctrl_c_gives_what_was_measured_so_far(served: Stoker) -> None:
    program = [sys.executable, "-m", "stoker", "bench", served.endpoint, "--shape", "chat"]
    process = subprocess.Popen(
        [*program, "--requests", "200", *SHORT], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while "once" not in process.stdout.readline():
        pass
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "chat cold                1" in rest
    assert "the benchmark was stopped" in rest
