"""One call sees the whole machine, is quick, and never fails."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from stoker.host import Host, detect
from stoker.host.parallel_probes import ParallelProbes


def test_this_machine_is_seen(tmp_path: Path) -> None:
    host = detect(tmp_path, ask_hub=False)
    assert isinstance(host, Host)
    assert host.cpu.cores >= 1
    assert 0 < host.memory.available_bytes <= host.memory.total_bytes
    assert host.disk is not None
    assert [runtime.name for runtime in host.runtimes] == ["docker", "podman"]
    assert all(runtime.reachable or runtime.problem for runtime in host.runtimes)
    assert host.hub_reachable is None


def test_slow_questions_are_asked_at_the_same_time() -> None:
    meet = threading.Barrier(2)
    problems: list[str] = []
    answers = ParallelProbes({"a": lambda: meet.wait(2), "b": lambda: meet.wait(2)}).wait(
        2, problems
    )
    assert sorted(answers.values()) == [0, 1]
    assert problems == []


def test_a_late_answer_is_given_up_on_and_reported() -> None:
    release = threading.Event()
    problems: list[str] = []
    start = time.monotonic()
    answers = ParallelProbes({"the hub": release.wait, "Docker": lambda: "here"}).wait(
        0.05, problems
    )
    assert time.monotonic() - start < 10
    release.set()
    assert answers == {"Docker": "here"}
    assert problems == ["Gave up on the hub after 0.1 s."]


def test_a_probe_that_fails_is_reported_and_the_others_stand() -> None:
    problems: list[str] = []
    answers = ParallelProbes({"Docker": lambda: 1 / 0, "Podman": lambda: 2}).wait(1, problems)
    assert answers == {"Podman": 2}
    assert problems == ["Could not read Docker: ZeroDivisionError: division by zero."]
