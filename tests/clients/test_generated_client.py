"""A client that a generator makes of /openapi.json calls the gateway."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest
from tests.clients import environments
from tests.clients.conftest import gateway
from tests.clients.model_of_clients import HELLO

pytestmark = pytest.mark.clients

_SCRIPT = Path(__file__).parent / "python_sdks/generated_client.py"
_WINDOW_TOKENS = 8192


def ran(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_generated_client_has_types_for_requests_and_answers(tmp_path: Path) -> None:
    programs = environments.python("openapi")
    made, document = tmp_path / "gateway_client", tmp_path / "openapi.json"
    with gateway(_WINDOW_TOKENS, tmp_path) as served:
        with urllib.request.urlopen(served.endpoint + "/openapi.json") as response:
            document.write_bytes(response.read())
        generate = ("generate", "--path", document, "--output-path", made, "--meta", "none")
        ran(programs / "openapi-python-client", *generate)
        output = ran(programs / "python", _SCRIPT, served.endpoint, tmp_path, served.model.model)
    found = json.loads(output)
    assert found["id"] == served.model.model
    assert found["max_model_len"] == _WINDOW_TOKENS
    assert found["chat"] == HELLO
    assert found["tokenize"] == {"count": 3, "max_model_len": _WINDOW_TOKENS}
