"""A whole engine in one file: what a contributor adds to teach Stoker a new kind of server.

It serves Hugging Face folders, and answers every chat with the same sentence. Run as a program it
is that server; imported it is the engine. ``test_toy_engine`` copies it out of the project and adds
it with one row of ``engines.ENGINES``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from stoker.engines import (
    Backend,
    Engine,
    Launcher,
    LogMarks,
    Options,
    Planner,
    ProcessLaunch,
    ServedModel,
    http_json,
    model_listing,
    openai,
)
from stoker.planning import Argument, Candidate, MemoryPrediction, Plan, Requirements

if TYPE_CHECKING:
    import aiohttp

    from stoker.host import GpuSpec, Host

name = "toy"
SENTENCE = "Toys are fun."
CONTEXT_TOKENS = 2048
_PHASES = {"toy: unpacking": "unpack", "toy: winding up": "wind up"}

# --- how it is spoken to -------------------------------------------------------------------------

VERSION_AT = "/toy"
count = openai.count
count_texts = openai.count_texts
adapt = openai.adapt
warnings = openai.warnings


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Its listing names it as the owner of the models."""
    return model_listing.owned_by(listing, "toy")


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """It answers as soon as it listens."""
    return await http_json.answers(http, backend, "/toy")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """Its models have tools, which the listing does not report."""
    found = await openai.discover(http, backend)
    return [ServedModel(each.id, each.max_model_len, tools="native") for each in found]


# --- how it is planned for and started -----------------------------------------------------------


def plan(
    host: Host, candidate: Candidate, requirements: Requirements, gpu: GpuSpec | None
) -> Plan | None:
    """It runs everywhere, at the same speed."""
    return Plan(
        model=candidate.model,
        engine=name,
        max_model_len=CONTEXT_TOKENS,
        parallel=1,
        arguments=(Argument("context", CONTEXT_TOKENS, "It knows no other."),),
        memory=MemoryPrediction(1, 1, 1, 100),
        reasons=("Toys are quick.",),
        decode_tokens_per_s=30.0,
        prefill_tokens_per_s=30.0,
    )


def launch(plan: Plan, *, port: int, key: str, options: Options) -> ProcessLaunch:
    """This file, as a program."""
    argv = (sys.executable, __file__, plan.model.served_name, str(port))
    return ProcessLaunch(argv, plan.arguments, stdin=key + "\n")


def phase(line: str) -> str | None:
    """The phase that this log line begins."""
    return next((phase for text, phase in _PHASES.items() if text in line), None)


ENGINE = Engine(
    name=name,
    title="Toy",
    client=__name__,
    formats=("safetensors",),
    planner=Planner(plan),
    launcher=Launcher(launch, phase, LogMarks(starts=("toy: unpacking",), ready=("toy: wound",))),
)

# --- the server itself ---------------------------------------------------------------------------


class Server(BaseHTTPRequestHandler):
    """The paths of OpenAI's API that a chat needs."""

    protocol_version = "HTTP/1.1"
    model = key = ""

    def do_GET(self) -> None:
        """The version at ``/toy``, and the models."""
        entry = {"id": self.model, "owned_by": "toy", "max_model_len": CONTEXT_TOKENS}
        self._answer({"version": "1"} if self.path == "/toy" else {"data": [entry]})

    def do_POST(self) -> None:
        """A chat, for those who have the key."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != f"Bearer {self.key}":
            self._answer({"error": {"message": "no key"}}, status=401)
            return
        message = {"role": "assistant", "content": SENTENCE}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        usage = {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
        self._answer({"id": "1", "object": "chat.completion", "choices": choices, "usage": usage})

    def _answer(self, body: object, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serve the model on the port that the command names, until told to stop."""
    print("toy: unpacking", flush=True)
    Server.model, Server.key = sys.argv[1], sys.stdin.readline().strip()
    print("toy: winding up", flush=True)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Server)
    print("toy: wound", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
