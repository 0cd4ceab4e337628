"""The simulation beside recordings of an H200: ``python -m benchmarks.sizing_recorded``.

Goal: P50 and P95 of the time to first token and per token within 15 % of measured at three loads.
Each file of ``RECORDINGS`` was recorded on 2026-11-29: vLLM 0.26.0 served a Qwen shape with dummy
weights and prefix caching to agents who began within 12 s and sent requests for 50 s. A step
follows the answer before it after a second and appends 850 tokens in the median.

The simulated joining and the fit of the speed saw the first recording. The other two are newer
than both, and what ``agents_forecast`` prints of them was committed before they were made
(``data/predictions_h200_agents_2026-11-29.json``). They shared a machine with llama.cpp on ten of
its 16 cores, and each GPU with the idle server of the other.

The requests arrive in the simulation when they arrived in the recording, and their answers are as
long. Three simulations are compared: as planned, with the factors that ``--calibrate`` finds,
and with the step times that it finds them by.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.agents_forecast import planned_times, server
from benchmarks.last_runs import record_table

from stoker.application.endpoint_speed import ratio
from stoker.sizing import AGENT, ArrivingRequest, MeasuredAnswer, VllmReplica, calibrate
from stoker.sizing.correction import corrected
from stoker.sizing.estimates import quantile
from stoker.sizing.step_calibration import replay_rounds

GOAL = 0.15
_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Recording:
    """A server that was recorded."""

    file: str
    #: In the catalogue; its weights and its cache have 16 bits.
    model: str
    #: As vLLM's log printed it.
    cache_tokens: int
    #: The model and what else distinguishes it, for the table of the docs.
    title: str


#: Heads of 15,500 tokens, prompts of 24,000; the others have heads of 10,000, prompts of 19,000.
FIRST = Recording("agents_h200.csv", "qwen3-8b", 818_048, "Qwen3-8B")
LARGER = Recording("agents_h200_qwen3-14b.csv", "qwen3-14b", 314_560, "Qwen3-14B")
#: Its cache is too small for 24 agents: 80 % of their prompts were cached, and 91 % for 8.
FULL_CACHE = Recording(
    "agents_h200_qwen3-8b.csv", "qwen3-8b", 276_704, "Qwen3-8B with a third of the cache"
)
RECORDINGS = (FIRST, LARGER, FULL_CACHE)


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


def recorded(recording: Recording) -> Rounds:
    """The answers of each round, in the order in which the server got them."""
    rounds: Rounds = {}
    with (_DATA / recording.file).open(newline="", encoding="utf-8") as file:
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


def replicas(recording: Recording, rounds: Rounds) -> dict[str, VllmReplica]:
    """The same server with three kinds of step times."""
    plan = server(planned_times(recording.model), recording.cache_tokens)
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
    parser.add_argument("--record", action="store_true", help="write the tables of the docs")
    options = parser.parse_args()
    found = {recording.file: _compared(recording) for recording in RECORDINGS}
    if options.record:
        _record(found)
    if options.json:
        rows = {
            file: {
                name: [[f.load, f.what, f.measured_s, f.simulated_s, f.error] for f in figures]
                for name, figures in each.items()
            }
            for file, each in found.items()
        }
        print(json.dumps(rows))
        return
    for recording in RECORDINGS:
        print(f"{recording.file}: {recording.model}, {recording.cache_tokens:,} tokens of cache")
        for name, figures in found[recording.file].items():
            _print(name, figures)


def _record(found: dict[str, dict[str, list[Figure]]]) -> None:
    machine = "recorded on an H200"
    ways = list(found[FIRST.file])
    counts = [
        (_described(one), *(_kept(found[one.file][way]) for way in ways)) for one in RECORDINGS
    ]
    head = ("recording", *(way.replace("--calibrate", "`--calibrate`") for way in ways))
    record_table("sizing_recordings", head, counts, machine)
    errors = [row for one in RECORDINGS[1:] for row in _errors(one, found[one.file][ways[1]])]
    of_each = (found[one.file][ways[1]] for one in RECORDINGS[1:])
    names = zip(*(dict.fromkeys(f.load for f in figures) for figures in of_each), strict=True)
    loads = (" and ".join(dict.fromkeys(name)) for name in names)
    record_table("sizing_recorded", ("simulated / measured", *loads), errors, machine)


def _described(recording: Recording) -> str:
    with (_DATA / recording.file).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["round"].endswith("agents")]
    tokens = sum(int(row["prompt_tokens"]) for row in rows)
    cached = sum(int(row["cached_tokens"]) for row in rows) / tokens
    each = round(tokens / len(rows), -3)
    size = f"{len(rows)} requests of {each:,.0f} tokens, {100 * cached:.0f} % cached"
    return f"{recording.title}, {size}"


def _kept(figures: Sequence[Figure]) -> int:
    return sum(abs(figure.error) <= GOAL for figure in figures)


def _errors(recording: Recording, figures: Sequence[Figure]) -> Iterator[tuple[str, ...]]:
    """A row for each percentile, with the loads in its columns."""
    for what in dict.fromkeys(figure.what for figure in figures):
        row = [figure.error for figure in figures if figure.what == what]
        shown = (f"{e:+.0%}".replace("%", " %") + " (missed)" * (abs(e) > GOAL) for e in row)
        yield f"{recording.title}: {what}", *shown


def _compared(recording: Recording) -> dict[str, list[Figure]]:
    rounds = recorded(recording)
    return {name: compare(rounds, replica) for name, replica in replicas(recording, rounds).items()}


def _print(name: str, figures: Sequence[Figure]) -> None:
    print(f"  {name}: {_kept(figures)} of {len(figures)} within {GOAL:.0%}")
    for figure in figures:
        missed = "  missed" if abs(figure.error) > GOAL else ""
        print(
            f"    {figure.load:9} {figure.what:24} measured {figure.measured_s:7.4f} s  "
            f"simulated {figure.simulated_s:7.4f} s  {figure.error:+.0%}{missed}"
        )


if __name__ == "__main__":
    main()
