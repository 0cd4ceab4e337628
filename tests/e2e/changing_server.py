"""A model server whose models and answers a test sets and changes."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChangingServer:
    """As much of OpenAI's API as the editor's states need. Its answers name its model."""

    def __init__(self, *models: str) -> None:
        self.models = list(models)
        #: The headers and bodies of the chat requests, in order of arrival.
        self.chats: list[tuple[dict[str, str], dict[str, Any]]] = []
        #: Seconds from one word to the next; 0 sends the answer in one piece.
        self.word_s = 0.0
        #: The words of an answer after the model's name.
        self.words: list[str] = []
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> ChangingServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listens, after a stop on the same port as before."""
        handler = type("Handler", (_Handler,), {"state": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Handler(BaseHTTPRequestHandler):
    state: ChangingServer

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            return self._json(404, {})
        data = [{"id": name, "max_model_len": 32_768} for name in self.state.models]
        return self._json(200, {"object": "list", "data": data})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            return self._json(404, {})
        self.state.chats.append((dict(self.headers), body))
        if body["model"] not in self.state.models:
            return self._json(404, {"error": {"message": "no such model"}})
        return self._stream(f"This is {body['model']}. ".split(" ") + self.state.words)

    def _stream(self, words: list[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        usage = {"prompt_tokens": 100, "completion_tokens": len(words)}
        pieces = words if self.state.word_s else [" ".join(words)]
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": {"content": piece + " "}}]} for piece in pieces
        ]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        events.append({"choices": [], "usage": usage})
        for event in events:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
            time.sleep(self.state.word_s)
        self.wfile.write(b"data: [DONE]\n\n")

    def _json(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""
