"""What waits in a replica's container on Kubernetes, beside a real vLLM that writes an answer."""

from __future__ import annotations

import json
import subprocess
import sys
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
            port, last = str(urlsplit(url).port), b""
            metrics = (container.running_metric, container.waiting_metric)
            drain = subprocess.Popen(
                (sys.executable, "-I", PROGRAM, port, container.metrics_path, "0", *metrics)
            )
            events, waited = 0, False
            for line in answer:
                events += line.startswith(b"data: ")
                last = line.strip() or last
                if events == ANSWER_TOKENS // 2:
                    waited = drain.poll() is None
        # An event may hold several tokens.
        assert events > ANSWER_TOKENS // 2
        assert last == b"data: [DONE]"
        assert waited
        assert drain.wait(timeout=60) == 0
