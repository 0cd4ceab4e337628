"""What routing by prefix saves on two replicas: ``python benchmarks/prefix_routing.py [--json]``.

Agents' conversations that begin alike, several at once, grow in front of two real vLLM on the CPU,
which is a model's first layer. The same conversations go through vllm-router in round robin and
with its default policy, through a site as ``stoker deploy`` writes it (two gateways, asked at
random, before two routers), and through one ``stoker gateway`` alone, in turns, so that drifts of
the machine's speed affect all alike. Pauses between turns are random, the same for
all. Each replica's cache holds ``--cache-tokens``, by default 60 % of all conversations: in
round robin, both replicas need all of them.

For each: the share of prompt tokens that came from a cache, the time to the first token, and the
share of the requests that the less busy replica got. Ratios are to round robin: the median of the
rounds.

Goal: a larger share than in round robin, and an earlier first token.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.sent_rows import Row, send
from tests.support import vllm_cpu, vllm_router
from tests.support.one_layer import one_layer_folder

from stoker.deploy.router_command import router_command
from stoker.deploy.site import ROUTER_VERSION
from stoker.engines.vllm import vllm_replica
from stoker.planning import Plan
from stoker.server.ports import any_free

SERVED = "local"
ROUND_ROBIN, CACHE_AWARE = "round robin", "cache_aware"
AS_DEPLOYED, GATEWAY = "as deployed", "one gateway"
BLOCK_TOKENS = 128
#: vLLM refuses a cache that is smaller than its window.
WINDOW = 16_384
#: What vllm-router and the gateway have to start and to find both replicas.
START_S = 120.0
#: Seconds between an answer and the next request of the same conversation, on average.
PAUSE_S = 0.3
_HEAD = "You are a coding agent. Read a file before you change it, and run the tests after it. "
_FILE = "def step_{turn}_{line}(value: int) -> int: return value * {line} + {turn}  # of {name}\n"


@dataclass(frozen=True)
class Load:
    """The conversations of one pass."""

    conversations: int
    turns: int
    #: Lines of a file that each turn adds; one has some 30 tokens.
    lines: int

    def message(self, name: str, turn: int) -> str:
        """What a conversation's turn adds: a file that the agent has read."""
        numbered = (_FILE.format(turn=turn, line=n, name=name) for n in range(self.lines))
        return f"Step {turn} of {name}: go on.\n" + "".join(numbered)


@dataclass(frozen=True)
class Pass:
    """What one pass through one server measured."""

    cached_share: float
    first_token_median_s: float
    first_token_p95_s: float
    #: Of the requests, those that the less busy replica got.
    fewer_share: float
    prompt_tokens: int


def conversation(urls: Sequence[str], head: str, number: int, load: Load) -> list[Row]:
    """Its turns, one after another, with pauses."""
    pauses = random.Random(number)
    name = f"module_{number}"
    messages = [{"role": "system", "content": head}]
    rows = []
    for turn in range(load.turns):
        time.sleep(pauses.expovariate(1 / PAUSE_S))
        messages.append({"role": "user", "content": load.message(name, turn)})
        url = pauses.choice(urls)
        rows.append(send(url, {"messages": list(messages), "max_completion_tokens": 8}))
        messages.append({"role": "assistant", "content": f"Step {turn} is done."})
    return rows


def one_pass(urls: Sequence[str], replicas: Sequence[str], head: str, load: Load) -> Pass:
    """All conversations at once through servers that stand for each other."""
    before = [answered(replica) for replica in replicas]
    with ThreadPoolExecutor(load.conversations) as pool:
        each = pool.map(lambda n: conversation(urls, head, n, load), range(load.conversations))
        rows = [row for found in each for row in found]
    got = [answered(r) - b for r, b in zip(replicas, before, strict=True)]
    assert sum(got) == len(rows), (got, len(rows))
    waited = sorted(row.first_token_s for row in rows)
    prompts = sum(row.prompt_tokens for row in rows)
    return Pass(
        cached_share=sum(row.cached_tokens for row in rows) / prompts,
        first_token_median_s=statistics.median(waited),
        first_token_p95_s=waited[int(len(waited) * 0.95)],
        fewer_share=min(got) / len(rows),
        prompt_tokens=prompts,
    )


def answered(replica: str) -> int:
    """The requests that a vLLM has answered."""
    with urllib.request.urlopen(f"{replica}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    counts = re.findall(r"^vllm:request_success_total\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(int(float(count)) for count in counts)


@contextmanager
def server(argv: Sequence[str], url: str, log: Path, **env: str) -> Iterator[str]:
    """A server that lists the model at ``url``, until the context ends."""
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env={**os.environ, **env}, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + START_S
        while not _lists_model(url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def _lists_model(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/v1/models") as answer:
        return SERVED in {row["id"] for row in json.load(answer)["data"]}
    return False


@contextmanager
def router(policy: str, replicas: Sequence[str], folder: Path) -> Iterator[list[str]]:
    """vllm-router with a policy and defaults besides."""
    port = any_free()
    flags = ["--policy", policy, "--log-level", "warning"]
    listens = ["--port", str(port), "--prometheus-port", str(any_free())]
    argv = [str(vllm_router.program()), *flags, *listens, "--worker-urls", *replicas]
    with server(argv, f"http://127.0.0.1:{port}", folder / f"{policy}.log") as url:
        yield [url]


@contextmanager
def as_deployed(wanted: Plan, replicas: Sequence[str], folder: Path) -> Iterator[list[str]]:
    """Two gateways before two routers, with the flags that ``stoker deploy`` writes."""
    container = vllm_replica.replica(wanted)
    with contextlib.ExitStack() as ending:
        routers = []
        for number in range(2):
            port = any_free()
            lines = router_command(container, replicas, "127.0.0.1", port, any_free())
            words = [word for line in lines for word in shlex.split(line.text)]
            argv = [str(vllm_router.program()), *words[1:]]
            log, url = folder / f"router-{number}.log", f"http://127.0.0.1:{port}"
            routers.append(ending.enter_context(server(argv, url, log)))
        yield [
            ending.enter_context(gateway(routers, folder / f"gateway-{number}"))
            for number in range(2)
        ]


@contextmanager
def one_gateway(replicas: Sequence[str], folder: Path) -> Iterator[list[str]]:
    """``stoker gateway`` with the replicas as its backends."""
    with gateway(replicas, folder / "gateway") as url:
        yield [url]


def gateway(backend_urls: Sequence[str], folder: Path) -> contextlib.AbstractContextManager[str]:
    """``stoker gateway`` with its files in a new folder."""
    folder.mkdir()
    port, config = any_free(), folder / "gateway.toml"
    backends = (f'[[backend]]\nurl = "{url}"\nengine = "vllm"\n' for url in backend_urls)
    config.write_text(f"[gateway]\nport = {port}\n{''.join(backends)}")
    argv = (sys.executable, "-m", "stoker", "gateway", str(config))
    home = str(folder / "home")
    return server(argv, f"http://127.0.0.1:{port}", folder / "gateway.log", STOKER_HOME=home)


def plan(folder: Path, cache_tokens: int) -> Plan:
    """A model's first layer, with a cache of so many tokens."""
    model = one_layer_folder(vllm_cpu.installed().model, folder)
    wanted = vllm_cpu.plan(
        model,
        SERVED,
        max_model_len=WINDOW,
        max_num_seqs=8,
        block_size=BLOCK_TOKENS,
        num_gpu_blocks_override=cache_tokens // BLOCK_TOKENS,
        enable_prompt_tokens_details=True,
    )
    return replace(wanted, max_model_len=WINDOW)


def measured(rounds: int, load: Load, head: str, cache_tokens: int) -> dict[str, list[Pass]]:
    """The passes of each server, round by round."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ending:
        folder = Path(name)
        wanted = plan(folder, cache_tokens)
        replicas = []
        for number in range(2):
            # One core each, as far as there are two: else both wait for each other's threads.
            os.environ["VLLM_CPU_OMP_THREADS_BIND"] = str(number % (os.cpu_count() or 1))
            replicas.append(
                ending.enter_context(vllm_cpu.running(folder / f"{number}.log", wanted))
            )
        starts: dict[str, Callable[[], contextlib.AbstractContextManager[list[str]]]] = {
            ROUND_ROBIN: lambda: router("round_robin", replicas, folder),
            CACHE_AWARE: lambda: router("cache_aware", replicas, folder),
            AS_DEPLOYED: lambda: as_deployed(wanted, replicas, folder),
            GATEWAY: lambda: one_gateway(replicas, folder),
        }
        passes: dict[str, list[Pass]] = {name: [] for name in starts}
        urls = {name: ending.enter_context(start()) for name, start in starts.items()}
        for number in range(-1, rounds):  # the first one warms the replicas up
            order = list(urls)
            for server_name in order[number % 4 :] + order[: number % 4]:
                # No pass finds what another one has left: its head begins with its own name.
                own = f"Session {number} of {server_name}. {head}"
                found = one_pass(urls[server_name], replicas, own, load)
                print(f"round {number + 1}, {server_name}: {found}", file=sys.stderr, flush=True)
                if number >= 0:
                    passes[server_name].append(found)
    return passes


def summary(passes: dict[str, list[Pass]]) -> dict[str, dict[str, float]]:
    """Medians of the rounds, and of each round's ratio to round robin."""

    def each(name: str, field: str) -> list[float]:
        return [float(getattr(found, field)) for found in passes[name]]

    def ratio(name: str, field: str) -> float:
        pairs = zip(each(name, field), each(ROUND_ROBIN, field), strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    fields = ("cached_share", "first_token_median_s", "first_token_p95_s")
    return {
        name: {
            **{
                field: round(statistics.median(each(name, field)), 4)
                for field in (*fields, "fewer_share")
            },
            **{f"{field}_ratio": round(ratio(name, field), 3) for field in fields},
        }
        for name in passes
    }


def report(results: dict[str, dict[str, float]]) -> None:
    """A line for each server."""
    for name, r in results.items():
        print(
            f"{name}: {r['cached_share']:.1%} cached ({r['cached_share_ratio']:.2f} x), first "
            f"token {r['first_token_median_s'] * 1e3:.0f} ms ({r['first_token_median_s_ratio']:.2f}"
            f" x), 95th percentile {r['first_token_p95_s'] * 1e3:.0f} ms "
            f"({r['first_token_p95_s_ratio']:.2f} x), less busy replica {r['fewer_share']:.0%}"
        )


def main() -> None:
    """Measure, and print the table or JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--conversations", type=int, default=6, help="at once")
    options.add_argument("--turns", type=int, default=8)
    options.add_argument("--lines", type=int, default=40, help="that a turn adds, 30 tokens each")
    options.add_argument("--head", type=int, default=75, help="sentences that all share")
    options.add_argument("--cache-tokens", type=int, help="of each replica")
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    load = Load(asked.conversations, asked.turns, asked.lines)
    grown = load.turns * load.lines * 30 * load.conversations
    cache_tokens = asked.cache_tokens or int(0.6 * grown)
    passes = measured(asked.rounds, load, _HEAD * asked.head, cache_tokens)
    results = summary(passes)
    given: dict[str, Any] = {**vars(asked), "cache_tokens": cache_tokens}
    facts = {"vllm_router": ROUTER_VERSION, "prompt_tokens": passes[GATEWAY][0].prompt_tokens}
    if asked.json:
        print(json.dumps({"options": given, **facts, "servers": results}))
    else:
        report(results)


if __name__ == "__main__":
    main()
