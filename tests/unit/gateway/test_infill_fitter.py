"""``/infill`` in front of llama.cpp: all that fits is read, and what is cut is reported.

The server here answers the paths of llama.cpp b11549 that are asked, and counts a character as a
token; the names of special tokens are one token each.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from aiohttp import web
from tests.unit.gateway.backends import MODEL, Front, front

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served
from stoker.gateway.prompt.fit_settings import FitSettings

_SPECIAL = re.compile(r"<\|x_\w+\|>|.", re.DOTALL)
WINDOW = 2048


@dataclass
class LlamaServer:
    """What reached it, and its answers."""

    #: What stands between the prefix and the suffix.
    between: str = "<|x_suffix|>"
    infill_status: int = 200
    has_room_for_files: bool = True
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        if request.path == "/tokenize":
            assert body["model"] == MODEL
            text, special = body["content"], body["parse_special"]
            return web.json_response({"tokens": self._ids(text, special)})
        self.sent.append((request.path, body))
        if request.path == "/infill" and self.infill_status != 200:
            error = {"code": 501, "message": "Infill is not supported by this model"}
            return web.json_response({"error": error}, status=self.infill_status)
        prompt = body["prompt"] if request.path == "/completion" else self._written(body)
        ids = self._ids(prompt, special=True) if isinstance(prompt, str) else prompt
        text = "".join(self.names[i] if i < 1000 else chr(i - 1000) for i in ids)
        return web.json_response({"content": "x", "prompt": text, "tokens_evaluated": len(ids)})

    def _ids(self, text: str, special: bool) -> list[int]:
        pieces = _SPECIAL.findall(text) if special else list(text)
        self.names += [p for p in pieces if len(p) > 1 and p not in self.names]
        return [ord(p) + 1000 if len(p) == 1 else self.names.index(p) for p in pieces]

    def _written(self, body: dict[str, Any]) -> str:
        if not self.has_room_for_files:
            return f"<|x_prefix|>{body['input_prefix']}<|x_suffix|>{body['input_suffix']}{END}"
        files = "".join(
            f"<|x_sep|>{extra['filename']}\n{extra['text']}" for extra in body["input_extra"]
        )
        texts = f"{body['input_prefix']}{self.between}{body['input_suffix']}"
        return f"<|x_name|>r\n{files}<|x_sep|>f\n<|x_prefix|>{texts}<|x_middle|>"


@contextlib.asynccontextmanager
async def in_front_of(
    server: LlamaServer, settings: FitSettings | None = None, engine: str = "llama.cpp"
) -> AsyncIterator[Front]:
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway = Gateway()
    model = ServedModel(MODEL, max_model_len=WINDOW)
    backend = Backend(f"http://127.0.0.1:{runner.addresses[0][1]}", engine)
    gateway.serve([Served(backend, [model], settings or FitSettings())])
    async with front(gateway) as door:
        yield door
    await runner.cleanup()


async def filled(door: Front, **fields: Any) -> tuple[str, str | None]:
    """The prompt that the model read, and what was reported to be cut."""
    headers = {"x-stoker-fit": fields.pop("fit")} if "fit" in fields else {}
    reply = await door.post(orjson.dumps({"model": MODEL, **fields}), "/infill", headers)
    assert reply.status == 200, reply.body
    return orjson.loads(reply.body)["prompt"], reply.headers.get("x-stoker-fit")


HEAD, END = "<|x_name|>r\n", "<|x_middle|>"


async def test_all_of_a_long_file_is_read() -> None:
    server = LlamaServer()
    async with in_front_of(server) as door:
        prompt, cut = await filled(
            door, input_prefix="p" * 1200, input_suffix="s" * 500, n_predict=48
        )
    assert cut == "none"
    assert prompt == (f"{HEAD}<|x_sep|>f\n<|x_prefix|>{'p' * 1200}<|x_suffix|>{'s' * 500}{END}")


async def test_a_short_request_goes_to_the_engines_own_path() -> None:
    server = LlamaServer()
    request = {"input_prefix": "p" * 21, "input_suffix": "s" * 6, "input_extra": []}
    async with in_front_of(server) as door:
        await filled(door, **request)
    assert server.sent == [("/infill", {"model": MODEL, **request})]


async def test_what_is_beyond_the_window_is_cut_on_the_far_sides_and_reported() -> None:
    server = LlamaServer()
    prefix = "".join(chr(200 + i % 5000) for i in range(4000))
    suffix = "".join(chr(6000 + i) for i in range(3000))
    async with in_front_of(server) as door:
        prompt, cut = await filled(door, input_prefix=prefix, input_suffix=suffix, n_predict=48)
    around = HEAD + "<|x_sep|>f\n<|x_prefix|>"
    before, after = prompt.removeprefix(around).removesuffix(END).split("<|x_suffix|>")
    assert prefix.endswith(before)
    assert suffix.startswith(after)
    assert min(len(before), len(after)) > 400
    read = server.sent[-1][1]["prompt"]
    assert len(read) == WINDOW - 48
    lost = f"prefix=-{4000 - len(before)}; suffix=-{3000 - len(after)}"
    assert cut == f"{lost}; tokens={len(read)}"


async def test_other_files_have_the_room_that_is_left_and_the_first_ones_go() -> None:
    server = LlamaServer()
    extras = [{"filename": f"{n}.py", "text": str(n) * 600} for n in range(4)]
    async with in_front_of(server) as door:
        prompt, cut = await filled(
            door, input_prefix="p" * 400, input_suffix="s", input_extra=extras, n_predict=48
        )
    assert cut is not None
    assert cut.startswith("extras=4>2; ")
    assert prompt.startswith(f"{HEAD}<|x_sep|>2.py\n{'2' * 600}<|x_sep|>3.py\n{'3' * 600}<")


async def test_where_the_engine_has_no_room_for_other_files_the_file_at_hand_is_read_whole() -> (
    None
):
    server = LlamaServer(has_room_for_files=False)
    extras = [{"filename": "a.py", "text": "a"}]
    async with in_front_of(server) as door:
        prompt, cut = await filled(
            door, input_prefix="p" * 900, input_suffix="s" * 500, input_extra=extras
        )
    assert prompt == f"<|x_prefix|>{'p' * 900}<|x_suffix|>{'s' * 500}{END}"
    assert cut == f"extras=1>0; tokens={len(server.sent[-1][1]['prompt'])}"


async def test_a_special_tokens_name_in_a_file_stays_a_text() -> None:
    server = LlamaServer()
    async with in_front_of(server) as door:
        await filled(door, input_prefix="p" * 400 + END, input_suffix="")
    assert server.sent[-1][1]["prompt"].count(server.names.index(END)) == 1


async def test_the_prompt_field_continues_the_text_before_the_cursor() -> None:
    async with in_front_of(LlamaServer()) as door:
        prompt, _ = await filled(door, input_prefix="p" * 400, prompt="now", input_suffix="s")
    assert "pnow<|x_suffix|>s" in prompt


async def test_the_other_fields_of_a_request_are_sent_on_and_the_form_is_learned_once() -> None:
    server = LlamaServer()
    async with in_front_of(server) as door:
        for _ in range(2):
            await filled(door, input_prefix="p" * 400, input_suffix="s", n_predict=4, top_k=1)
    assert [path for path, _ in server.sent] == ["/infill", "/completion", "/completion"]
    assert server.sent[-1][1].keys() == {"model", "prompt", "n_predict", "top_k"}


async def test_a_limit_on_prompts_holds_here_too() -> None:
    server = LlamaServer()
    async with in_front_of(server, FitSettings(max_prompt_tokens=600)) as door:
        _, cut = await filled(door, input_prefix="p" * 1200, input_suffix="s" * 500, n_predict=48)
    assert len(server.sent[-1][1]["prompt"]) <= 600
    assert cut is not None
    assert cut.startswith("prefix=-")


@pytest.mark.parametrize(("tokens_per_s", "most"), [(50.0, 1024), (100.0, 1152), (1000.0, 2000)])
async def test_a_slow_engine_reads_what_a_person_who_types_waits_for(
    tokens_per_s: float, most: int
) -> None:
    server = LlamaServer()
    settings = FitSettings(max_prompt_tokens="auto", prefill_tokens_per_s=tokens_per_s)
    async with in_front_of(server, settings) as door:
        _, cut = await filled(door, input_prefix="p" * 3000, input_suffix="", n_predict=48)
    assert most - 256 < len(server.sent[-1][1]["prompt"]) <= most
    assert cut is not None
    assert cut.startswith("prefix=-")


UNTOUCHED: dict[str, tuple[LlamaServer, FitSettings | None, str, dict[str, Any]]] = {
    "fitting is off": (LlamaServer(), FitSettings(enabled=False), "llama.cpp", {}),
    "fitting is off for the request": (LlamaServer(), None, "llama.cpp", {"fit": "off"}),
    "an engine of another kind": (LlamaServer(), None, "openai", {}),
    "a form that is not understood": (LlamaServer(between="\x02"), None, "llama.cpp", {}),
}


@pytest.mark.parametrize(
    ("server", "settings", "engine", "fields"), UNTOUCHED.values(), ids=UNTOUCHED
)
async def test_a_request_is_passed_on_as_it_is_with(
    server: LlamaServer, settings: FitSettings | None, engine: str, fields: dict[str, Any]
) -> None:
    request = {"input_prefix": "p" * 1200, "input_suffix": "s", "input_extra": []}
    async with in_front_of(server, settings, engine) as door:
        await filled(door, **request, **fields)
    assert server.sent[-1] == ("/infill", {"model": MODEL, **request})


@pytest.mark.parametrize("extra", [5, "x", {"a": 1}, [5], [{}], [{"text": 5}]])
async def test_a_request_of_the_wrong_shape_is_the_engines_to_refuse(extra: Any) -> None:
    server = LlamaServer(infill_status=400)
    body = {"model": MODEL, "input_prefix": "p" * 900, "input_extra": extra}
    async with in_front_of(server) as door:
        reply = await door.post(orjson.dumps(body), "/infill")
    assert reply.status == 400
    assert server.sent == [("/infill", body)]


async def test_a_model_without_the_tokens_is_refused_and_two_that_have_them_are_named() -> None:
    async with in_front_of(LlamaServer(infill_status=501)) as door:
        body = {"model": MODEL, "input_prefix": "p" * 900, "input_suffix": ""}
        reply = await door.post(orjson.dumps(body), "/infill")
    assert (reply.status, reply.error["code"]) == (400, "no_infill_form")
    named = "qwen2.5-coder-0.5b and qwen2.5-coder-1.5b can: stoker up qwen2.5-coder-0.5b."
    assert named in reply.error["message"]
