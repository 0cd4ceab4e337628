"""What waits in a replica's container on Kubernetes, beside a real vLLM that writes an answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support import vllm_cpu

from stoker import engines

pytestmark = pytest.mark.vllm

PROGRAM = Path(str(files("stoker.deploy.kubernetes"))) / "in_pod" / "drain.py"
ANSWER_TOKENS = 400


def test_a_replica_is_stopped_only_when_its_answer_has_ended(tmp_path: Path) -> None:
    wanted = vllm_cpu.plan()
    replica = engines.get("vllm").replica
    assert replica is not None
    container = replica(wanted)
    with vllm_cpu.running(tmp_path / "vllm.log", wanted) as url:
        settings = {
            "model": "smollm2",
            "prompt": "Once upon a time",
            "max_tokens": ANSWER_TOKENS,
            "ignore_eos": True,
            "stream": True,
        }
        request = urllib.request.Request(
            f"{url}/v1/completions",
            json.dumps(settings).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=300) as answer:
            assert answer.readline().startswith(b"data: ")
            port = str(urlsplit(url).port)
            metrics = (container.running_metric, container.waiting_metric)
            drain = subprocess.Popen(
                (sys.executable, "-I", PROGRAM, port, container.metrics_path, "0", *metrics)
            )
            events = [line for line in answer if line.startswith(b"data: ")]
            still_waiting = drain.poll() is None
            ended = time.monotonic()
        assert len(events) >= ANSWER_TOKENS - 1
        assert events[-1].strip() == b"data: [DONE]"
        assert still_waiting
        assert drain.wait(timeout=60) == 0
        assert time.monotonic() - ended < 60
