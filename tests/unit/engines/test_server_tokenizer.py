"""A server's tokenizer is asked again where its server has just closed an idle connection."""

from __future__ import annotations

import asyncio

import aiohttp
import orjson
import pytest

from stoker.engines import Backend, lookup
from stoker.engines.server_tokenizer import fills_in, form_of


class Server:
    """Answers ``/tokenize``: a letter is a token, and so is each of ``names``."""

    def __init__(self, names: tuple[str, ...], closes: int) -> None:
        self.names = names
        #: So many requests get no answer: the connection ends.
        self.closes = closes
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with_body = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(with_body.partition(b"content-length:")[2].split(b"\r\n")[0])
        text = orjson.loads(await reader.readexactly(length))["prompt"]
        self.asked += 1
        if self.asked > self.closes:
            ids = [1] if text in self.names else list(map(ord, text))
            body = orjson.dumps({"tokens": ids})
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            )
            writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
        writer.close()


QWEN = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>")


@pytest.mark.parametrize(("closes", "expected"), [(0, True), (1, True), (1000, None)])
async def test_a_closed_connection_is_no_sign_that_a_model_has_no_form(
    closes: int, expected: bool | None
) -> None:
    server = Server(QWEN, closes)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    api = lookup("vllm").infill
    assert api is not None
    async with aiohttp.ClientSession() as http:
        tokenizer = await api.tokenizer(http, Backend(url, "vllm"), "m")
        assert await fills_in(tokenizer) is expected
        if expected:
            form = await form_of(tokenizer)
            assert form is not None and form.name == "qwen"
    listening.close()
