"""The report of what was tried on the target."""

from __future__ import annotations

import json
from pathlib import Path

from stoker.bundles import acceptance
from stoker.bundles.acceptance import Acceptance, Step

UP = Step("up", ("stoker", "up", "m.gguf"), True, 12.3, {"max_model_len": 8192})
TEST = Step(
    "test",
    ("stoker", "test"),
    True,
    40.0,
    {"verdicts": {"chat": {"verdict": "good", "missing": []}}},
)
DOCTOR = Step(
    "doctor",
    ("stoker", "doctor"),
    False,
    1.0,
    {"findings": [{"id": "gpu.driver", "status": "broken"}, {"id": "x", "status": "ok"}]},
)
NO_START = Step("up", ("stoker", "up"), False, 1.0, {"error": {"what": "There is no model."}})


def report(*steps: Step) -> Acceptance:
    return Acceptance("ab" * 32, "AMD EPYC", "2026-11-28T10:00:00+00:00", steps)


def test_it_passes_where_every_step_did() -> None:
    assert report(UP, TEST).passed
    assert not report(UP, DOCTOR, TEST).passed


def test_the_page_shows_what_matters_of_each_step() -> None:
    page = acceptance.as_markdown(report(UP, DOCTOR, TEST))
    assert page.startswith("# Acceptance: failed\n")
    assert "| up | passed | 12 s | a chat was answered; context 8,192 tokens |" in page
    assert "| doctor | failed | 1 s | broken: gpu.driver |" in page
    assert "| test | passed | 40 s | chat: good |" in page
    assert "There is no model." in acceptance.as_markdown(report(NO_START))


def test_both_files_are_written(tmp_path: Path) -> None:
    page, data = acceptance.write(report(UP, TEST), tmp_path)
    assert page.read_text("utf-8") == acceptance.as_markdown(report(UP, TEST))
    assert json.loads(data.read_text("utf-8"))["steps"][1]["result"] == TEST.result
