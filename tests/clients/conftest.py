"""The agents and SDKs of other projects, run for real before a gateway with a scripted model."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.clients import environments
from tests.clients.model_of_clients import ModelOfClients
from tests.e2e.proxy import Proxy
from tests.integration.conftest import Stoker

from stoker.server.ports import any_free

#: How many clients run at a time: the machines of CI have two cores.
AT_A_TIME = 2


@dataclass(frozen=True)
class Gateway:
    """A gateway as ``stoker adopt`` starts it, and what both of its sides saw."""

    #: A relay in front of the gateway, which is where clients go.
    seen_by_clients: Proxy
    model: ModelOfClients

    @property
    def endpoint(self) -> str:
        return self.seen_by_clients.url


@contextmanager
def gateway(window_tokens: int, folder: Path) -> Iterator[Gateway]:
    """A gateway before a model that speaks only chat, with this window."""
    stoker = Stoker(folder / "stoker", any_free())
    with ModelOfClients(window_tokens) as model:
        done = stoker.run("adopt", model.url, "--port", str(stoker.port))
        assert done.returncode == 0, done.stdout + done.stderr
        model.arrived.clear()
        try:
            with Proxy(stoker.endpoint) as proxy:
                yield Gateway(proxy, model)
        finally:
            stoker.run("down")


@pytest.fixture(scope="session")
def installing() -> Iterator[dict[str, Future[Path]]]:
    """The environments, all installed at the same time: the longest takes a minute."""
    with ThreadPoolExecutor() as pool:
        started = {name: pool.submit(environments.python, name) for name in ("sdks", "aider")}
        yield {"node": pool.submit(environments.node), **started}


@pytest.fixture(scope="session")
def node_modules(installing: dict[str, Future[Path]]) -> Path:
    """The packages that need Node."""
    return installing["node"].result()


@pytest.fixture(scope="session")
def aider(installing: dict[str, Future[Path]]) -> Path:
    """The folder of aider's programs."""
    return installing["aider"].result()


@pytest.fixture(scope="session")
def sdk_python(installing: dict[str, Future[Path]]) -> Path:
    """The interpreter that has the Python SDKs."""
    return installing["sdks"].result() / "python"
