"""Every flag that Stoker plans for vLLM is one that the installed vLLM's own parser takes."""

from __future__ import annotations

import json
import subprocess

import pytest
from tests.support import vllm_cpu

from stoker import engines, models, planning
from stoker.application import rank
from stoker.engines import Options
from stoker.host import find_gpu, imagined_host
from stoker.planning import Plan, Requirements

pytestmark = pytest.mark.vllm

GPUS = ("RTX 4060 8GB", "RTX 3090", "RTX 4090", "T4", "L4", "A100 40GB", "H100", "H200", "B200")
#: Reads argument lists from standard input, and prints what the parser makes of each, or its error.
PARSE = """
import contextlib, io, json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
said = []
for arguments in json.load(sys.stdin):
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        try:
            parsed = parser.parse_args(arguments)
            said.append({"max_model_len": parsed.max_model_len, "model": parsed.model})
        except SystemExit:
            said.append({"error": error.getvalue().strip().splitlines()[-1]})
print("RESULT" + json.dumps(said))
"""


def plans() -> list[Plan]:
    """The best plans for each of the GPUs, over the whole catalogue: every kind of flag."""
    candidates = planning.candidates_of(models.known_models())
    found = []
    for name in GPUS:
        spec = find_gpu(name)
        for requirements in (Requirements(engine="vllm"), Requirements(engine="vllm", users=20)):
            found += rank(imagined_host(spec), candidates, requirements, spec)[:12]
    return found


def parsed(lists: list[list[str]]) -> list[dict[str, object]]:
    done = subprocess.run(
        [vllm_cpu.installed().python, "-c", PARSE],
        input=json.dumps(lists),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    answer: list[dict[str, object]] = json.loads(done.stdout.rpartition("RESULT")[2])
    return answer


def test_every_planned_flag_is_taken_by_vllms_own_parser() -> None:
    all_plans = plans()
    assert len({p.model.id for p in all_plans}) > 10
    lists = []
    for plan in all_plans:
        launch = engines.get("vllm").launch(plan, port=8000, key="", options=Options(gpus=True))
        assert isinstance(launch, engines.ContainerLaunch)
        lists.append(list(launch.command))
    answers = parsed([*lists, ["--no-such-flag"]])
    assert "unrecognized arguments: --no-such-flag" in str(answers.pop()["error"])
    for plan, flags, answer in zip(all_plans, lists, answers, strict=True):
        assert "error" not in answer, f"{' '.join(flags)}: {answer['error']}"
        assert answer["max_model_len"] == plan.max_model_len
