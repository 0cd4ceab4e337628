"""What serves a team, each part a process of its own that can be killed and brought back.

Two llama.cpp engines, two ``stoker gateway`` in front of both, PostgreSQL for the usage, Redis for
the limits. Every part keeps its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import postgres_server
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer

from stoker.server.ports import any_free

MODEL = "smollm2"
_ENGINE = Path(__file__).parents[1] / "e2e" / "serve_llama.py"
_READY_S, _END_S = 120, 60


@dataclass
class TeamProcess:
    """A process that prints a line when it is ready."""

    name: str
    port: int
    command: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    #: When it was not there, or not ready, in seconds since 1970: from a signal to its next start.
    away: list[tuple[float, float]] = field(default_factory=list)
    #: When it was killed without a chance to end.
    killed_at: list[float] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, *self.command),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self.env},
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _READY_S)
        assert line, f"{self.name} ended: {self.log.read_text()[-2000:]}"

    async def end(self, number: signal.Signals) -> None:
        """Send it a signal that ends it, and wait until it has."""
        assert self._process is not None
        self._process.send_signal(number)
        await asyncio.wait_for(self._process.wait(), _END_S)

    async def restart(self, number: signal.Signals, away_s: float) -> None:
        """End it, and bring it back after a while."""
        began = time.time()
        if number == signal.SIGKILL:
            self.killed_at.append(began)
        self.away.append((began, float("inf")))
        await self.end(number)
        await asyncio.sleep(away_s)
        await self.start()
        self.away[-1] = (began, time.time())

    async def close(self) -> None:
        """Kill it, where it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@dataclass
class ServingTeam:
    """All parts, started."""

    engines: list[TeamProcess]
    gateways: list[TeamProcess]
    postgres: PostgresServer
    redis: RedisServer


def llama_engine(name: str, model: Path, folder: Path, slots: int) -> TeamProcess:
    """A real llama.cpp server whose answers are as long as they may be."""
    port = any_free()
    wanted = {
        "model": str(model),
        "alias": MODEL,
        "port": port,
        "n_ctx": 512,
        "slots": slots,
        "n_predict": 64,
        "ignore_eos": True,
        "chat_template": "",
    }
    command = (str(_ENGINE), json.dumps(wanted))
    spins = {"GOMP_SPINCOUNT": "1000"}
    return TeamProcess(name, port, command, folder / f"{name}.log", spins)


def team_gateway(name: str, folder: Path, config: str) -> TeamProcess:
    """``stoker gateway`` with a home of its own. ``config`` is the file but for the port."""
    port, home = any_free(), folder / name
    home.mkdir()
    path = home / "gateway.toml"
    path.write_text(f"[gateway]\nport = {port}\n{config}", encoding="utf-8")
    command = ("-m", "stoker", "gateway", str(path), "--json")
    return TeamProcess(name, port, command, folder / f"{name}.log", {"STOKER_HOME": str(home)})


def team_config(
    *, usage: str, limits_store: str, owners: list[str], engines: list[TeamProcess], limits: str
) -> str:
    """The gateway's file without its first lines; each owner's key is its name."""
    keys = ", ".join(f'{o} = "{hashlib.sha256(o.encode()).hexdigest()}"' for o in owners)
    backends = (f'[[backend]]\nurl = "{engine.url}"\nengine = "llama.cpp"\n' for engine in engines)
    lines = (f'usage = "{usage}"', f'limits_store = "{limits_store}"', f"keys = {{ {keys} }}")
    return "\n".join((*lines, *backends, limits))


@asynccontextmanager
async def serving_team(
    folder: Path, model: Path, owners: list[str], limits: str, slots: int = 8
) -> AsyncIterator[ServingTeam]:
    """All parts while the context lasts."""
    redis = RedisServer(folder)
    async with contextlib.AsyncExitStack() as ending:
        postgres = ending.enter_context(postgres_server.running())
        redis.start()
        ending.callback(redis.stop)
        engines = [llama_engine(f"engine{n}", model, folder, slots) for n in range(2)]
        config = team_config(
            usage=postgres.url,
            limits_store=redis.url,
            owners=owners,
            engines=engines,
            limits=limits,
        )
        gateways = [team_gateway(f"gateway{n}", folder, config) for n in range(2)]
        for each in (*engines, *gateways):
            ending.push_async_callback(each.close)
            await each.start()
        yield ServingTeam(engines, gateways, postgres, redis)
