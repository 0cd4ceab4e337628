"""The simulation beside a recording of an H200: ``python benchmarks/sizing_recorded.py``.

Goal: P50 and P95 of the time to first token and per token within 15 % of measured at three loads.
``data/agents_h200.csv`` was recorded on 2026-11-29: vLLM 0.26.0 served the shape of Qwen3-8B with
dummy weights and prefix caching to 8, 24 and 48 agents, who began within 12 s and sent requests for
50 s. Their prompts have a head of 15,500 tokens, one of four, and grow to at most 40,000; a step
appends 850 tokens in the median and follows the answer before it after a second. The rounds before
are those that ``stoker size --calibrate`` sends, of token ids, and some with longer prompts.

The requests arrive in the simulation when they arrived in the recording, and their answers are as
long. Three simulations are compared: as planned, with the factors that ``--calibrate`` finds,
and with the step times that it finds them by.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stoker.application.endpoint_speed import ratio
from stoker.engines.vllm.vllm_speed import Hardware, calibrated, load_of, step_times_of
from stoker.host import find_gpu
from stoker.models import find_known_model
from stoker.planning.quantization import precision_of
from stoker.sizing import AGENT, ArrivingRequest, MeasuredAnswer, VllmReplica, calibrate
from stoker.sizing.correction import corrected
from stoker.sizing.estimates import quantile
from stoker.sizing.step_calibration import replay_rounds

RECORDED = Path(__file__).parent / "data" / "agents_h200.csv"
GOAL = 0.15
#: As vLLM's log printed it: 112.34 GiB.
_CACHE_TOKENS = 818_048


@dataclass(frozen=True)
class Figure:
    """One percentile at one load, in seconds."""

    load: str
    what: str
    measured_s: float
    simulated_s: float

    @property
    def error(self) -> float:
        """How far the simulation is off, as a share of what was measured."""
        return self.simulated_s / self.measured_s - 1


Rounds = dict[str, list[MeasuredAnswer]]


def recorded() -> Rounds:
    """The answers of each round, in the order in which the server got them."""
    rounds: Rounds = {}
    with RECORDED.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            request = ArrivingRequest(
                float(row["at_s"]),
                int(row["session"]),
                int(row["prompt_tokens"]),
                int(row["output_tokens"]),
                AGENT,
                row["head"],
                int(row["head_tokens"]),
            )
            token_s = float(row["token_s"]) if row["token_s"] else None
            answer = MeasuredAnswer(request, float(row["first_token_s"]), token_s)
            rounds.setdefault(row["round"], []).append(answer)
    return rounds


def planned() -> VllmReplica:
    """The server that was recorded, as fast as the planner takes it to be."""
    shape, hardware = find_known_model("qwen3-8b")[0].architecture, Hardware.of(find_gpu("H200"))
    assert shape is not None and hardware is not None
    times = step_times_of(load_of(shape, precision_of("bf16", shape)), hardware, calibrated()[0])
    return VllmReplica(
        times,
        kv_cache_tokens=_CACHE_TOKENS,
        max_model_len=40_960,
        max_num_seqs=128,
        max_num_batched_tokens=8192,
    )


def replicas(rounds: Rounds) -> dict[str, VllmReplica]:
    """The same server with three kinds of step times."""
    plan = planned()
    # The first one warmed the server up, as in ``stoker size --calibrate``.
    sent = [answers for name, answers in rounds.items() if name.startswith("calibration")][1:]
    measured = calibrate(sent, plan)
    factors = corrected(plan, ratio(measured, plan.step_times))
    assert isinstance(factors, VllmReplica)
    return {
        "as planned": plan,
        "factors of --calibrate": factors,
        "step times of --calibrate": replace(plan, step_times=measured),
    }


def compare(rounds: Rounds, replica: VllmReplica) -> list[Figure]:
    """Percentiles of each load: all rounds one after the other, as the server got them."""
    simulated = iter(replay_rounds(list(rounds.values()), replica))
    figures = []
    for name, answers in rounds.items():
        pairs = [(answer, next(simulated)) for answer in answers]
        if not name.endswith("agents"):
            continue
        first = [(a.first_token_s, first_s) for a, (first_s, _) in pairs]
        token = [(a.token_s, token_s) for a, (_, token_s) in pairs if a.token_s and token_s]
        figures += _percentiles(name, "time to first token", first)
        figures += _percentiles(name, "time per token", token)
    return figures


def _percentiles(load: str, what: str, pairs: Sequence[tuple[float, float]]) -> list[Figure]:
    real, own = (sorted(side) for side in zip(*pairs, strict=True))
    return [
        Figure(
            load, f"{what}, P{share:.0%}".rstrip("%"), quantile(real, share), quantile(own, share)
        )
        for share in (0.5, 0.95)
    ]


def main() -> None:
    """Print each figure, measured and simulated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    rounds = recorded()
    found = {name: compare(rounds, replica) for name, replica in replicas(rounds).items()}
    if as_json:
        rows = {
            name: [[f.load, f.what, f.measured_s, f.simulated_s, f.error] for f in figures]
            for name, figures in found.items()
        }
        print(json.dumps(rows))
        return
    for name, figures in found.items():
        kept = sum(abs(figure.error) <= GOAL for figure in figures)
        print(f"{name}: {kept} of {len(figures)} within {GOAL:.0%}")
        for figure in figures:
            missed = "  missed" if abs(figure.error) > GOAL else ""
            print(
                f"  {figure.load:9} {figure.what:24} measured {figure.measured_s:7.4f} s  "
                f"simulated {figure.simulated_s:7.4f} s  {figure.error:+.0%}{missed}"
            )


if __name__ == "__main__":
    main()
