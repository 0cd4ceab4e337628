"""Lets the model write the answers that ``completion.py score`` reads: ``python
completion_answers.py MODEL REQUESTS ANSWERS [--processes 6 --cores 12]``.

Needs nothing but ``xllamacpp``, so that a machine with more cores can do it. Requests
(``.jsonl.gz``) of one session and way stay together and in order, so that the engine has read most
of each before. ``ANSWERS`` is a folder: what is answered there already is not asked again.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import multiprocessing
import os
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

#: As in ``completion_engine.py``: what llama.vscode's README gives for this model on a CPU.
_CONTEXT, _BATCH, _CACHE_REUSE = 16384, 1024, 256
#: More than any way shows of one line, and of several.
_MOST_TOKENS, _MOST_TOKENS_OF_BLOCK = 40, 96
_READY_S, _ANSWER_S = 120.0, 300.0


def generation(path: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The request that has all of an answer that any choice of where to stop could show."""
    if path == "/infill":
        return path, {**body, "n_probs": 1, "stream": False}
    one_line = body.get("stop") == ["\n"]
    most = _MOST_TOKENS if one_line else _MOST_TOKENS_OF_BLOCK
    greedy = {"temperature": 0, "n_predict": most, "n_probs": 1, "cache_prompt": True}
    return "/completion", {"prompt": body["prompt"], **greedy}


def _answer(url: str, request: dict[str, Any]) -> dict[str, Any]:
    path, body = generation(request["path"], request["body"])
    began = time.perf_counter()
    sent = urllib.request.Request(
        url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(sent, timeout=_ANSWER_S) as reply:
        answer = json.load(reply)
    tokens = [[t["token"], round(t["logprob"], 3)] for t in answer["completion_probabilities"]]
    timings = answer.get("timings", {})
    return {
        "key": request["key"],
        "tokens": tokens,
        "stop_type": answer.get("stop_type"),
        "prompt_tokens": answer.get("tokens_evaluated"),
        "read_tokens": timings.get("prompt_n"),
        "read_ms": timings.get("prompt_ms"),
        "s": round(time.perf_counter() - began, 3),
    }


def _server(model: str, threads: int) -> str:
    """An engine in this process; returns its address once it is ready."""
    import xllamacpp  # noqa: PLC0415 - no other process needs it

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_ctx, params.n_parallel = _CONTEXT, 1
    params.n_batch = params.n_ubatch = _BATCH
    params.n_cache_reuse = _CACHE_REUSE
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    _KEPT.append(xllamacpp.Server(params))
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return url
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("The engine did not become ready.")


#: Engines live as long as their process.
_KEPT: list[Any] = []


def _work(number: int, cores: list[int], model: str, groups: Any, folder: Path) -> None:
    os.sched_setaffinity(0, cores)
    url = _server(model, len(cores))
    with (folder / f"answers-{number}.jsonl").open("a") as file:
        while (group := groups.get()) is not None:
            for request in group:
                file.write(json.dumps(_answer(url, request)) + "\n")
                file.flush()
    os._exit(0)  # the engine's own threads never end


def answered(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of the answers."""
    found = []
    for path in sorted(folder.glob("answers-*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue  # a process was ended while it wrote
    return found


def _left(requests: Path, folder: Path) -> list[list[dict[str, Any]]]:
    """What is not answered, in groups that begin alike, the longest group first.

    The second answer to the prompts of the first way costs no reading where it comes right behind.
    Ways that are tried beside the others, such as "stoker, more files", come last.
    """
    known = {each["key"] for each in answered(folder)}
    with gzip.open(requests, "rt") as file:
        asked = [json.loads(line) for line in file]
    left = sorted((each for each in asked if each["key"] not in known), key=_group)
    found = [list(group) for _, group in itertools.groupby(left, key=_group)]
    groups = [sorted(group, key=lambda each: int(each["order"])) for group in found]
    return sorted(groups, key=lambda group: (_group(group[0])[1].endswith("files"), -_size(group)))


def _group(request: dict[str, Any]) -> tuple[str, str]:
    return request["session"], request["way"].removesuffix(", greedy")


def _size(group: list[dict[str, Any]]) -> int:
    return sum(len(json.dumps(each["body"])) for each in group)


def main() -> None:
    """Generate what is missing; then write all answers to ``answers.jsonl.gz`` in the folder."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("model")
    options.add_argument("requests", type=Path)
    options.add_argument("answers", type=Path)
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    asked = options.parse_args()
    asked.answers.mkdir(parents=True, exist_ok=True)
    method = multiprocessing.get_context("spawn")
    groups = method.Queue()
    for group in [*_left(asked.requests, asked.answers), *[None] * asked.processes]:
        groups.put(group)
    cores = sorted(os.sched_getaffinity(0))[: asked.cores]
    share = len(cores) // asked.processes
    workers = [
        method.Process(
            target=_work,
            args=(at, cores[at * share : (at + 1) * share], asked.model, groups, asked.answers),
        )
        for at in range(asked.processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with gzip.open(asked.answers / "answers.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(each) + "\n" for each in answered(asked.answers))
    left = sum(map(len, _left(asked.requests, asked.answers)))
    print(f"{left} requests are left" if left else "all are answered", flush=True)


if __name__ == "__main__":
    main()
