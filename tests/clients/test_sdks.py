"""SDKs, each in its own process: whole and streamed answers, a tool's call and result, an error.

The model behind the gateway speaks only chat. The scripts are in python_sdks and node_sdks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.clients.conftest import AT_A_TIME, Gateway, gateway
from tests.clients.model_of_clients import HELLO, SAID

pytestmark = pytest.mark.clients

_HERE = Path(__file__).parent
#: The window: the scripts' long message does not fit in it.
_WINDOW_TOKENS = 8192
#: Far more than a script takes; it ends one that hangs.
_SCRIPT_S = 300
_QUIET = {
    "ANONYMIZED_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "PYTHONWARNINGS": "ignore",
}
#: The class of the error that each SDK raises for a prompt beyond the window. Those that have a
#: class of their own for it recognise it by the error's code or words.
PYTHON = {
    "openai": "BadRequestError",
    "anthropic": "BadRequestError",
    "pydantic_ai": "ModelHTTPError",
    "langchain": "ContextOverflowError",
    "instructor": "InstructorRetryException",
    "dspy": "ContextWindowExceededError",
    "litellm": "ContextWindowExceededError",
}
NODE = {"openai": "BadRequestError", "anthropic": "BadRequestError", "ai": "AI_APICallError"}
_APIS = {
    "openai": {"chat", "responses"},
    "anthropic": {"messages"},
    "dspy": {"chat"},
    "instructor": {"chat", "messages"},
    "ai": {"chat", "openai chat", "responses", "messages"},
}
_ALL_APIS = {"chat", "responses", "messages"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(_WINDOW_TOKENS, tmp_path_factory.mktemp("sdks")) as found:
        yield found


def shown(program: Path | str, script: Path, served: Gateway, home: Path) -> Mapping[str, Any]:
    """What a script prints of each API."""
    address = (served.endpoint, served.model.model)
    done = subprocess.run(
        [str(program), str(script), *address],
        env={"HOME": str(home), "PATH": os.environ["PATH"], **_QUIET},
        capture_output=True,
        text=True,
        timeout=_SCRIPT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def python_runs(
    sdk_python: Path, served: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Mapping[str, Any]]]]:
    """All scripts of the Python SDKs, a few at a time: importing an SDK takes seconds."""
    home = tmp_path_factory.mktemp("home")
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {
            name: pool.submit(shown, sdk_python, _HERE / f"python_sdks/sdk_{name}.py", served, home)
            for name in PYTHON
        }


def check(name: str, found: Mapping[str, Any], error: str) -> None:
    """Every API gave the model's own answers, and the error that the SDK has for an overflow."""
    assert found.keys() == _APIS.get(name, _ALL_APIS)
    for api, saw in found.items():
        assert saw["whole"] == HELLO, api
        assert saw["arguments"] == {"city": "Paris"}, api
        assert error in saw["overflow"], api
        assert "maximum context length is 8192 tokens" in saw["overflow"][-1], api


def check_texts(found: Mapping[str, Any]) -> None:
    """Streams come in pieces, and a tool's result reaches the model."""
    for api, saw in found.items():
        assert saw["streamed"] == HELLO, api
        assert saw["pieces"] > 1, api
        assert saw["called"] == "get_weather", api
        assert saw["answered"] == SAID + "sunny, 21 degrees", api


@pytest.mark.parametrize("name", PYTHON)
def test_a_python_sdk_works(
    python_runs: Mapping[str, Future[Mapping[str, Any]]], name: str
) -> None:
    found = python_runs[name].result()
    check(name, found, PYTHON[name])
    if name != "instructor":
        check_texts(found)
    else:  # the value of a class, whole and as it grows
        assert {saw["streamed"] for saw in found.values()} == {"Paris"}


@pytest.mark.parametrize("name", NODE)
def test_a_node_sdk_works(node_modules: Path, served: Gateway, tmp_path: Path, name: str) -> None:
    # Node looks for packages in the folders above a script.
    scripts = shutil.copytree(_HERE / "node_sdks", tmp_path / "node_sdks")
    (tmp_path / "node_modules").symlink_to(node_modules)
    found = shown("node", scripts / f"sdk_{name}.mjs", served, tmp_path)
    check(name, found, NODE[name])
    check_texts(found)


def test_the_compliance_suite_of_open_responses_passes(
    sdk_python: Path, served: Gateway, tmp_path: Path
) -> None:
    found = shown(sdk_python, _HERE / "python_sdks/open_responses.py", served, tmp_path)
    answers = {
        "tool call": "['get_weather']",
        "tool call, streamed": "['get_weather']",
        "tool call and result": SAID + "sunny, 21 degrees",
        "earlier response": "400 previous_response_not_found",
    }
    assert len(found) == 10
    assert found == {**dict.fromkeys(found, HELLO), **answers}
