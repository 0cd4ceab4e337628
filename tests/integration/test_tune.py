"""``stoker tune`` on the real engine: what it measured holds, and is not measured twice.

How fast anything is depends on what else runs here, so only what follows from it is asserted.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.integration.conftest import Stoker

pytestmark = pytest.mark.engine


def tuned(stoker: Stoker) -> dict[str, Any]:
    done = stoker.run("tune", "--minutes", "0.5", "--json", timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_model_runs_again_with_what_was_found_and_the_next_run_goes_on(
    stoker: Stoker, quick_smollm2: str
) -> None:
    up = (quick_smollm2, "--context", "1024", "--parallel", "1")
    stoker.up(*up)
    before = stoker.status()
    first = tuned(stoker)
    assert first["trials"]
    assert all(t["gain"] >= 1.03 for t in first["trials"] if t["kept"])
    assert stoker.status()["engine_pid"] != before["engine_pid"]
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    assert stoker.post("/v1/chat/completions", body)["usage"]["completion_tokens"] == 4
    rejected = {t["trial"] for t in first["trials"] if not t["kept"]}
    assert rejected.isdisjoint(t["trial"] for t in tuned(stoker)["trials"])
    stoker.run("down")
    planned = json.loads(stoker.run("up", *up, "--dry-run", "--json", "--offline").stdout)
    arguments = {a["name"]: a["value"] for a in planned["arguments"]}
    assert first["arguments"].items() <= arguments.items() or first["gain"] == 1.0
    assert json.loads(stoker.run("tune", "--forget", "--json").stdout) == {"forgotten": True}


def test_without_a_deployment_there_is_nothing_to_tune(stoker: Stoker) -> None:
    refused = stoker.run("tune")
    assert refused.returncode == 1
    assert "nothing to tune" in refused.stderr
    assert "stoker up" in refused.stderr
