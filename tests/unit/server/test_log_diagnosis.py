"""The diagnosis names the root cause in real logs, and is silent where nothing failed."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from stoker.cli import app
from stoker.data.facts import load_table, tomllib
from stoker.server.diagnosis.log_diagnosis import ArgumentChange, Reader, diagnose, with_command

LOGS = Path(__file__).parents[2] / "fixtures" / "logs"
FAILURES: list[dict[str, Any]] = tomllib.loads((LOGS / "failures.toml").read_text())["log"]
HEALTHY_LINES: list[dict[str, Any]] = tomllib.loads((LOGS / "healthy.toml").read_text())["log"]
HEALTHY = sorted((LOGS / "healthy").glob("*.log"))
CAUSES: list[dict[str, Any]] = load_table("failures")["cause"]


@pytest.mark.parametrize("log", FAILURES, ids=[f"{n}-{x['cause']}" for n, x in enumerate(FAILURES)])
def test_real_log_is_explained_by_its_cause(log: dict[str, Any]) -> None:
    found = diagnose(log["text"].splitlines(), log.get("engine", "vllm"))
    assert found is not None
    assert found.id == log["cause"]
    assert log.get("fix", "") in found.fix
    assert "{" not in found.fix


def test_catalogue_has_at_least_30_root_causes_each_seen_in_a_real_log() -> None:
    roots = {cause["id"] for cause in CAUSES if not cause.get("symptom")}
    assert len(roots) >= 30
    assert {cause["id"] for cause in CAUSES} == {log["cause"] for log in FAILURES}


def test_catalogue_rows_are_whole() -> None:
    ids = [cause["id"] for cause in CAUSES]
    assert len(ids) == len(set(ids))
    for cause in CAUSES:
        assert cause["cause"].endswith("."), cause["id"]
        assert "{" not in cause["fixes"][-1], f"{cause['id']}: the last fix must always apply"
        assert cause["link"].startswith("https://"), cause["id"]
        assert all(wording["source"] for wording in cause["texts"]), cause["id"]


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.stem)
def test_healthy_log_is_not_explained(path: Path) -> None:
    assert diagnose(path.read_text().splitlines(), None) is None


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.stem)
def test_healthy_start_is_not_explained_even_before_it_is_complete(path: Path) -> None:
    start = path.read_text().partition("Application startup complete")[0]
    assert diagnose(start.splitlines(), None) is None


@pytest.mark.parametrize("log", HEALTHY_LINES, ids=[log["source"] for log in HEALTHY_LINES])
def test_line_that_only_sounds_like_a_failure_is_not_explained(log: dict[str, Any]) -> None:
    assert diagnose(log["text"].splitlines(), "vllm") is None


def test_healthy_logs_are_of_at_least_four_versions() -> None:
    assert len(HEALTHY) >= 4


def test_first_cause_up_the_log_wins_over_its_consequences() -> None:
    found = diagnose(
        [
            "ERROR [core.py:1] Traceback (most recent call last):",
            "ERROR [core.py:1] ValueError: No available memory for the cache blocks. Try",
            "OSError: [Errno 98] Address already in use",
            "RuntimeError: Engine core initialization failed. See root cause above.",
        ]
    )
    assert found is not None
    assert (found.id, found.line_number, found.symptom) == ("no-kv-cache-memory", 2, False)


def test_symptom_counts_where_there_is_no_cause_and_only_there() -> None:
    symptom = "RuntimeError: Engine core initialization failed. See root cause above."
    alone = diagnose([symptom])
    assert alone is not None
    assert alone.symptom
    cause_below = diagnose([symptom, "OSError: [Errno 28] No space left on device"])
    assert cause_below is not None
    assert cause_below.id == "disk-full"


def test_later_line_may_make_the_first_cause_more_precise() -> None:
    out_of_memory = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.74 GiB."
    sampler = "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy"
    found = diagnose([out_of_memory, sampler])
    assert found is not None
    assert found.id == "too-many-sequences"


def test_failure_of_an_earlier_start_is_not_that_of_a_later_one() -> None:
    earlier = "ValueError: No available memory for the cache blocks."
    again = "INFO [api_utils.py:286] non-default args: {'model': 'm'}"
    for started in ("process 4711", "container vllm-server"):
        assert diagnose([earlier, f"2026-11-23 INFO engine vllm started as {started}"]) is None
    assert diagnose([earlier, again]) is None
    later = diagnose([earlier, again, "OSError: [Errno 98] Address already in use"])
    assert later is not None
    assert later.id == "port-taken"


def test_errors_of_an_ordered_stop_are_not_a_failure() -> None:
    stop = "INFO [launcher.py:254] [shutdown] API server: shutdown triggered"
    dead = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."
    assert diagnose([stop, dead]) is None
    crashed = diagnose([dead, stop])
    assert crashed is not None
    assert crashed.id == "worker-died"


def test_what_another_engine_prints_is_left_out() -> None:
    line = "alloc_tensor_range: failed to allocate CUDA0 buffer of size 151851674624"
    other = diagnose([line], "vllm")
    assert other is not None and not other.in_catalogue
    found = diagnose([line], "llama.cpp")
    assert found is not None
    assert found.id == "llama-cpp-out-of-memory"


def test_retry_uses_the_estimate_that_vllm_prints() -> None:
    found = diagnose(
        [
            "ValueError: To serve at least one request with the model's max seq len (8192), (0.18 "
            "GiB KV cache is needed, which is larger than the available KV cache memory (0.05 "
            "GiB). Based on the available memory, the estimated maximum model length is 2224. "
            "Try increasing `gpu_memory_utilization`"
        ]
    )
    assert found is not None
    assert found.change == ArgumentChange("max-model-len", "2224")
    without_estimate = diagnose(
        ["GiB KV cache is needed, which is larger than the available KV cache memory (0.0 GiB)."]
    )
    assert without_estimate is not None
    assert without_estimate.change is None


def test_retry_serves_as_many_requests_as_there_are_state_blocks() -> None:
    line = "ValueError: max_num_seqs (1024) exceeds available Mamba cache blocks (614)."
    found = diagnose([line])
    assert found is not None
    assert found.change == ArgumentChange("max-num-seqs", "614")


def test_log_that_is_still_written_gives_the_same_verdict_line_by_line() -> None:
    for log in FAILURES:
        lines = log["text"].splitlines()
        reader = Reader(log.get("engine", "vllm"))
        for line in lines:
            reader.feed([line])
        assert reader.verdict() == diagnose(lines, log.get("engine", "vllm"))


def test_time_grows_with_the_log_and_not_with_its_square() -> None:
    line = "(APIServer pid=1) INFO:     127.0.0.1:59938 - POST /v1/chat/completions HTTP/1.1 200 OK"
    took = []
    for count in (10_000, 80_000):
        lines = [line] * count
        began = time.process_time()
        assert diagnose(lines, "vllm") is None
        took.append(time.process_time() - began)
    assert took[1] < 24 * took[0]  # eight times the lines: the square would be 64


def test_one_endless_line_is_read_in_bounded_time() -> None:
    endless = "Access to model " * 500_000
    began = time.process_time()
    diagnose([endless], "vllm")
    assert time.process_time() - began < 20


def test_prompt_that_quotes_a_start_does_not_clear_the_cause() -> None:
    cause = "ValueError: No available memory for the cache blocks."
    asked = "INFO Received request 1: prompt: 'what is Application startup complete?'"
    found = diagnose([cause, asked])
    assert found is not None
    assert found.id == "no-kv-cache-memory"


_KV_CACHE = (
    "GiB KV cache is needed. Based on the available memory, the estimated maximum model length is "
    "2224. Try increasing `gpu_memory_utilization`"
)


@pytest.mark.parametrize(
    ("lines", "started", "command"),
    [
        ([], "stoker up qwen3-8b", "stoker up qwen3-8b --context 2224 --replace"),
        (
            [],
            "stoker up 'my models/a.gguf'",
            "stoker up 'my models/a.gguf' --context 2224 --replace",
        ),
        ([], None, "stoker up MODEL --context 2224 --replace"),
        (
            ["INFO non-default args: {'model_tag': 'Qwen/Qwen3-8B', 'model': 'Qwen/Qwen3-8B'}"],
            None,
            "stoker up Qwen/Qwen3-8B --context 2224 --replace",
        ),
        (
            ["INFO 01-30 [core.py:1] Initializing a V1 LLM engine with config: model='a/b', x"],
            None,
            "stoker up a/b --context 2224 --replace",
        ),
        # A folder inside the container means nothing outside.
        (
            ["INFO non-default args: {'model': '/models/x'}"],
            None,
            "stoker up MODEL --context 2224 --replace",
        ),
        (
            ["INFO non-default args: {'model': '/models/x'}"],
            "stoker up qwen3-8b",
            "stoker up qwen3-8b --context 2224 --replace",
        ),
    ],
)
def test_command_of_a_fix_keeps_the_model(
    lines: list[str], started: str | None, command: str
) -> None:
    found = diagnose([*lines, _KV_CACHE], "vllm", started)
    assert found is not None
    assert f"`{command}`" in found.fix


@pytest.mark.parametrize(
    ("fix", "started", "expected"),
    [
        ("`stoker up MODEL --context 8 --replace`", "--context=9 --port=1", "--port=1 --context 8"),
        ("`stoker up MODEL --image IMAGE --replace`", "--image=a/b:1", "--image IMAGE"),
        (
            "`stoker up MODEL --engine-arg dtype=half --replace`",
            "--engine-arg=dtype=auto --engine-arg=max-num-seqs=4",
            "--engine-arg=max-num-seqs=4 --engine-arg dtype=half",
        ),
        ("`stoker up MODEL --replace`", "--private-ipc", "--private-ipc"),
    ],
)
def test_command_of_a_fix_keeps_the_flags_that_it_does_not_set(
    fix: str, started: str, expected: str
) -> None:
    assert with_command(fix, f"stoker up m {started}") == f"`stoker up m {expected} --replace`"


_COMMANDS = [
    command
    for cause in CAUSES
    for fix in cause["fixes"]
    for command in re.findall(r"`(stoker up [^`]*)`", fix)
]


@pytest.mark.parametrize("command", sorted(set(_COMMANDS)))
def test_command_of_a_fix_is_one_that_stoker_takes(command: str) -> None:
    words = shlex.split(re.sub(r"\{\w+\}|\bN\b|\bPORT\b", "512", command))
    group = typer.main.get_group(app)
    up = group.get_command(typer.Context(group), "up")
    assert up is not None
    with up.make_context("up", words[2:]) as context:
        assert context.params["replace"]
        assert context.params["model"] in ("MODEL", "/path/to/model") or "--engine" in words


def test_commands_of_the_catalogue_stand_in_backticks() -> None:
    bare = [
        fix
        for cause in CAUSES
        for fix in cause["fixes"]
        if re.search(r"stoker up (-|[A-Z/])", re.sub(r"`[^`]*`", "", fix))
    ]
    assert _COMMANDS
    assert not bare
