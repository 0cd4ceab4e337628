"""Lets the model write the answers that ``completion.py score`` reads: ``python
completion_answers.py ENGINE REQUESTS ANSWERS [--at-once 6 --cores 12]``.

``ENGINE`` is a GGUF file, which ``--at-once`` processes with ``xllamacpp`` then read, or the
address of a llama.cpp server with as many slots, on a GPU say. Such a server is started with the
same window a slot and the same batches as here, since ``/infill`` sends what these leave room for:
``llama-server -m MODEL -np 16 -c 262144 --no-kv-unified -b 1024 -ub 1024 -ngl 99``.

Needs nothing else, so that another machine can do it. Requests (``.jsonl.gz``) of one session and
way stay together and in order, so that the engine has read most of each before. ``ANSWERS`` is a
folder: what is answered there already is not asked again.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import multiprocessing
import os
import queue
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: As in ``completion_engine.py``: what llama.vscode's README gives for this model on a CPU.
_CONTEXT, _BATCH, _CACHE_REUSE = 16384, 1024, 256
#: What llama.vscode asks for, and the extension at most.
_MOST_TOKENS = 128
_READY_S, _ANSWER_S = 120.0, 300.0
_SPAWNED = multiprocessing.get_context("spawn")


def generation(path: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The request that has all of an answer that any choice of where to stop could show.

    llama.vscode's limit of 500 ms for an answer is left out: no way is cut short by the machine.
    """
    if path == "/infill":
        return path, {**body, "n_probs": 1, "stream": False, "t_max_predict_ms": 0}
    greedy = {"temperature": 0, "n_predict": _MOST_TOKENS, "n_probs": 1, "cache_prompt": True}
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


def _process(number: int, cores: list[int], model: str, groups: Any, folder: Path) -> None:
    os.sched_setaffinity(0, cores)
    _ask(_server(model, len(cores)), groups, folder / f"answers-{number}.jsonl")
    os._exit(0)  # the engine's own threads never end


def _ask(url: str, groups: Any, answers: Path) -> None:
    """Ask one request at a time, until the groups come to their end."""
    with answers.open("a") as file:
        while (group := groups.get()) is not None:
            for request in group:
                file.write(json.dumps(_answer(url, request)) + "\n")
                file.flush()


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
    """
    known = {each["key"] for each in answered(folder)}
    with gzip.open(requests, "rt") as file:
        asked = [json.loads(line) for line in file]
    left = sorted((each for each in asked if each["key"] not in known), key=_group)
    found = [list(group) for _, group in itertools.groupby(left, key=_group)]
    groups = [sorted(group, key=lambda each: int(each["order"])) for group in found]
    return sorted(groups, key=_size, reverse=True)


def _group(request: dict[str, Any]) -> tuple[str, str]:
    return request["session"], request["way"].removesuffix(", greedy")


def _size(group: list[dict[str, Any]]) -> int:
    return sum(len(json.dumps(each["body"])) for each in group)


def main() -> None:
    """Generate what is missing; then write all answers to ``answers.jsonl.gz`` in the folder."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("engine", help="a GGUF file, or a llama.cpp server's address")
    options.add_argument("requests", type=Path)
    options.add_argument("answers", type=Path)
    options.add_argument("--at-once", type=int, default=1)
    options.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    asked = options.parse_args()
    asked.answers.mkdir(parents=True, exist_ok=True)
    served = asked.engine.startswith("http")
    groups: Any = queue.SimpleQueue() if served else _SPAWNED.Queue()
    for group in [*_left(asked.requests, asked.answers), *[None] * asked.at_once]:
        groups.put(group)
    workers = list((_threads if served else _processes)(asked, groups))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with gzip.open(asked.answers / "answers.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(each) + "\n" for each in answered(asked.answers))
    left = sum(map(len, _left(asked.requests, asked.answers)))
    print(f"{left} requests are left" if left else "all are answered", flush=True)


def _threads(asked: argparse.Namespace, groups: Any) -> Iterator[threading.Thread]:
    for at in range(asked.at_once):
        answers = asked.answers / f"answers-{at}.jsonl"
        yield threading.Thread(target=_ask, args=(asked.engine, groups, answers))


def _processes(asked: argparse.Namespace, groups: Any) -> Iterator[Any]:
    """Each has an engine, and its share of the cores."""
    cores = sorted(os.sched_getaffinity(0))[: asked.cores]
    share = len(cores) // asked.at_once
    for at in range(asked.at_once):
        own = cores[at * share : (at + 1) * share]
        place = (at, own, asked.engine, groups, asked.answers)
        yield _SPAWNED.Process(target=_process, args=place)


if __name__ == "__main__":
    main()
