"""Tables of the guides that come from the planner and from ``stoker size``, for cog."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from stoker.application import LaunchRequest, choose, imagined_machine
from stoker.engines.vllm.vllm_launch import GPU_IMAGE

Out = Callable[[str], None]
#: The model and the GPU that this project began with.
FOUNDING_MODEL, FOUNDING_GPU = "TheBloke/deepseek-coder-6.7B-instruct-AWQ", "RTX 4060 8GB"
#: What people buy for so many developers: name, developers, and one kind of server.
DEPLOYMENTS = (
    ("under a desk", 5, "RTX 5090:1"),
    ("team server", 20, "L40S:1"),
    ("replicas", 50, "L40S:1"),
    ("cluster", 200, "L40S:1"),
)
DEPLOYMENT_MODEL = "qwen3.8-27b"


def _founding_arguments() -> dict[str, tuple[object, str]]:
    request = LaunchRequest(purpose="agent", model=FOUNDING_MODEL)
    plan = choose(request, imagined_machine(FOUNDING_GPU, 1)).plan
    return {each.name: (each.value, each.reason) for each in plan.arguments}


def founding_command(out: Out) -> None:
    """What vLLM gets today for the model that this project began with."""
    arguments = _founding_arguments()
    flags = []
    for name, (value, _) in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        flags.append(flag if value is True else f"{flag} {value}")
    out(f"```text\ndocker run --gpus=all --ipc=host ... {GPU_IMAGE} \\")
    out(f"  --model {FOUNDING_MODEL} \\\n  " + " \\\n  ".join(flags) + "\n```")


def founding_reasons(out: Out) -> None:
    """Today's arguments that the founding command line left out or had otherwise, and why."""
    out("| argument today | because |\n| --- | --- |")
    for name, (value, reason) in _founding_arguments().items():
        out(f"| `{name.replace('_', '-')}` = {value} | {reason} |")


def deployment_types(out: Out) -> None:
    """Cost and expected performance by kind of deployment, as ``stoker size`` finds them."""
    head = ("for", "servers", "bought, a month", "rented, a month", "a cloud API, a month")
    out(f"| {' | '.join((*head, 'first token', 'a token', 'enough until'))} |")
    out("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, developers, gpu in DEPLOYMENTS:
        size = _size(developers, gpu)
        best, rented = size["recommendation"], size["other_terms"]
        rent = f"${rented['hardware_usd']:,.0f}" if rented else "no price known"
        breaks = size["breaks_first"]
        kept = f"{breaks['kept']} developers" if breaks else f"over {3 * developers} developers"
        columns = (
            f"{name}, {developers} developers",
            f"{best['servers']} with {best['gpus_per_server']} x {best['gpu']}",
            f"${size['cost']['total_usd']:,.0f}",
            rent,
            f"${size['cloud_api']['usd_per_month']:,.0f}",
            f"{best['first_token_p95_s']:.1f} s",
            f"{best['token_p95_s'] * 1000:.0f} ms",
            kept,
        )
        out(f"| {' | '.join(columns)} |")


def _size(developers: int, gpu: str) -> dict[str, Any]:
    asked = ["--developers", str(developers), "--gpu", gpu, "--model", DEPLOYMENT_MODEL, "--json"]
    command = [sys.executable, "-m", "stoker", "size", *asked]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
