"""The extension in real VS Code with its own Copilot Chat, against real servers.

One window serves all tests: each sets another endpoint while the window runs, as users do.
Screenshots of each step are kept in artifacts/vscode.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.editor import free_port, measured, wait_for
from tests.e2e.proxy import Asked, Body, Proxy
from tests.e2e.servers import TOOLS_TEMPLATE, Llama, get_json, smollm2_with_context
from tests.e2e.window import ANSWER_S, CHAT, PICKER, RESPONSE, STATUS, STOP, TOAST, Window
from tests.integration.conftest import Stoker
from tests.support import vllm_cpu
from tests.support.one_layer import one_layer_folder
from tests.support.real_models import smollm2

pytestmark = pytest.mark.vscode


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llama")


@pytest.fixture(scope="session")
def llama_8k(logs: Path) -> Iterator[Llama]:
    with Llama(logs / "8k.log", n_ctx=8192, alias="smol-8k") as server:
        yield server


def _agent_requests(proxy: Proxy) -> list[Asked]:
    """The requests of agent mode. Those for titles and progress have no tools."""
    return [asked for asked in proxy.chats() if asked.body.get("tools")]


def _words(text: str) -> str:
    """The words alone, which rendering Markdown does not change."""
    return " ".join(re.findall(r"[A-Za-z]+", text))


def _beginning(text: str) -> str:
    return _words(text)[:60]


def test_with_no_endpoint_nothing_is_contacted_and_the_status_bar_shows_it(window: Window) -> None:
    window.set_endpoint("")
    window.sees(STATUS, "Stoker")
    window.browser.do("palette", title="Stoker: Show Status and Actions")
    window.sees(".quick-input-list", "Set the endpoint")
    window.picture("01-no-endpoint")
    window.browser.do("press", key="Escape")

    def lists_none() -> bool:
        return re.findall("models: .*", window.server.log())[-1:] == ["models: none"]

    wait_for("an empty list of models", lists_none)


def test_at_8192_the_picker_shows_the_model_and_an_agent_question_is_answered(
    window: Window, llama_8k: Llama
) -> None:
    with Proxy(llama_8k.url) as proxy:
        window.connect(proxy.url + "/v1/", "smol-8k")
        window.picture("02-picker-8192")
        window.ask("What does a.py do?")
        answer = window.answered()
        window.picture("03-answer-8192")
        assert not window.has_error()
        (asked,) = _agent_requests(proxy)
        assert _beginning(asked.text()) in _words(answer)
        assert len(asked.body["tools"]) > 20
        assert not any(key.startswith("_") for key in asked.body)
        # VS Code counts hundreds of texts per turn.
        counting = [other for other in proxy.asked if other.path.endswith("/tokenize")]
        assert len(counting) <= 25


def test_at_32768_an_agent_question_is_answered(window: Window, logs: Path) -> None:
    model = smollm2_with_context(32_768, logs)
    with Llama(logs / "32k.log", n_ctx=32_768, slots=1, alias="smol-32k", model=model) as llama:
        window.connect(llama.url, "smol-32k")
        window.ask("What does a.py do?")
        assert len(window.answered()) > 40
        window.picture("04-answer-32768")
        assert not window.has_error()


def test_while_a_long_prompt_is_read_the_chat_shows_how_far(window: Window, logs: Path) -> None:
    """The tools alone take llama.cpp half a minute. The next question has no trace of the line."""
    model = smollm2_with_context(32_768, logs)
    with (
        Llama(
            logs / "reading.log",
            n_ctx=32_768,
            slots=1,
            alias="smol-reads",
            model=model,
            tools_template=True,
        ) as llama,
        Proxy(llama.url) as proxy,
    ):
        window.connect(proxy.url, "smol-reads")
        window.ask("What does a.py do?")
        window.sees(RESPONSE, "Reading 1", timeout_s=300)
        window.picture("04-reading-32768")
        window.browser.do("click", selector=STOP)
        wait_for("the engine is free", lambda: llama.busy() == 0, 120)
        window.ask("And in short?")
        _, last = wait_for("the next request", lambda: _two(_agent_requests(proxy)))
        window.browser.do("click", selector=STOP)
        wait_for("the engine is free again", lambda: llama.busy() == 0, 120)
        assert not window.has_error()
        assert "And in short?" in json.dumps(last.body["messages"])
        assert "Reading 1" not in json.dumps(last.body["messages"])


def _two(asked: list[Asked]) -> list[Asked] | None:
    return asked if len(asked) == 2 else None


def test_tools_that_do_not_fit_are_left_out_of_one_retry(window: Window, logs: Path) -> None:
    with (
        Llama(logs / "6k.log", n_ctx=6144, slots=1, alias="smol-6k", tools_template=True) as llama,
        Proxy(llama.url) as proxy,
    ):
        window.connect(proxy.url, "smol-6k")
        window.ask("What does a.py do?")
        assert len(window.answered()) > 40
        window.picture("05-retry-6144")
        assert not window.has_error()
        first, second = _agent_requests(proxy)
        assert (first.status, second.status) == (400, 200)
        assert 0 < len(second.body["tools"]) < len(first.body["tools"])


def test_stop_frees_the_engine_before_its_answer_ends(window: Window, logs: Path) -> None:
    def short_beside_the_answer(body: Body) -> Body:
        """Makes titles and progress messages end long before the answer does."""
        return body if body.get("tools") else {**body, "max_tokens": 16}

    slow = Llama(logs / "stop.log", n_ctx=8192, alias="smol-stop", n_predict=2000)
    with slow as llama, Proxy(llama.url, short_beside_the_answer) as proxy:
        window.connect(proxy.url, "smol-stop")
        window.ask("Count from 1 to 1000, one number a line.")
        wait_for(
            "only the answer is being written",
            lambda: llama.busy() == 1 and [a for a in _agent_requests(proxy) if a.answer],
            ANSWER_S,
        )
        window.picture("06-before-stop")
        pressed_at = time.monotonic()
        window.browser.do("click", selector=STOP)
        wait_for("the engine is free", lambda: llama.busy() == 0, 30)
        took_s = time.monotonic() - pressed_at
        window.picture("07-after-stop")
        (asked,) = _agent_requests(proxy)
        assert asked.left
        measured("from Stop until llama.cpp is free", f"{took_s:.2f} s")


def test_the_endpoint_changes_live_and_clearing_it_removes_the_models(
    window: Window, llama_8k: Llama, logs: Path
) -> None:
    window.connect(llama_8k.url, "smol-8k")
    with Llama(logs / "other.log", n_ctx=2048, alias="another-model") as other:
        window.set_endpoint(other.url)
        window.sees(STATUS, "another-model")
        window.choose("another-model")
        window.picture("08-changed-live")
        window.set_endpoint("")
        window.browser.do("wait", selector=STATUS, text="another-model", gone=True)
        # The picker still shows the name of a removed model, but its list does not.
        window.browser.do("click", selector=PICKER)
        window.sees(".action-widget", "Manage Models")
        window.picture("09-cleared")
        assert "another-model" not in str(window.browser.do("texts", selector=".action-widget"))
        window.browser.do("press", key="Escape")


def test_a_server_that_is_killed_is_reported_once_and_comes_back(
    window: Window, logs: Path
) -> None:
    with Llama(logs / "killed.log", n_ctx=8192, alias="smol-killed") as llama:
        window.connect(llama.url, "smol-killed")
        window.ask("Are you there?")
        window.answered()
        llama.kill()
        window.ask("Are you there?")
        window.sees(RESPONSE, "Cannot reach")
        assert window.has_error()
        window.sees(TOAST, "Cannot reach")
        toasts = window.browser.do("texts", selector=TOAST)
        assert sum("Cannot reach" in text for text in toasts) == 1, toasts
        window.picture("10-killed")
        window.browser.do("palette", title="Notifications: Clear All Notifications")
        llama.start()
        window.connect(llama.url, "smol-killed")
        window.ask("Are you there?")
        assert len(window.answered()) > 40
        window.picture("11-back")
        assert not window.has_error()


def test_a_wrong_url_explains_what_to_do(window: Window) -> None:
    window.set_endpoint(f"localhost:{free_port()}")
    window.browser.do("wait", selector=f"{STATUS} .codicon-warning")
    window.sees(TOAST, "correct the setting huggingface.customTGIEndpoint")
    window.picture("12-wrong-url")
    window.browser.do("palette", title="Notifications: Clear All Notifications")
    window.set_endpoint("")


def _asked_in_a_new_window(window: Window, text: str) -> str:
    """The answer in the second window. A chat that is not ready yet asks to try again."""
    window.browser.do("ask", text=text, page="second")
    answer = window.answered(page="second")
    if "Please try again" not in answer:
        return answer
    window.browser.do("click", selector=f"{CHAT} [aria-label^='New Chat']", page="second")
    window.browser.do("wait", selector=RESPONSE, gone=True, page="second")
    window.browser.do("ask", text=text, page="second")
    return window.answered(page="second")


def test_two_chats_at_once_do_not_mix(window: Window, llama_8k: Llama) -> None:
    with Proxy(llama_8k.url) as proxy:
        window.connect(proxy.url, "smol-8k")
        window.browser.do("open", url=window.server.url, page="second")
        window.choose("smol-8k", page="second")
        window.ask("Tell me about the river Nile.")
        second = _asked_in_a_new_window(window, "Tell me about the planet Mars.")
        first = window.answered()
        window.picture("13-first-of-two")
        window.browser.do("screenshot", name="14-second-of-two", page="second")
        nile, mars = (
            next(a for a in _agent_requests(proxy) if word in str(a.body["messages"]))
            for word in ("Nile", "Mars")
        )
        assert "Mars" not in str(nile.body["messages"])
        assert "Nile" not in str(mars.body["messages"])
        assert _beginning(nile.text()) in _words(first)
        assert _beginning(mars.text()) in _words(second)
        window.browser.do("close", page="second")


def test_through_the_gateway_at_2048_an_agent_question_is_answered(
    window: Window, tmp_path: Path
) -> None:
    stoker = Stoker(tmp_path, free_port())
    steady = ["sampling.temp=0", "sampling.ignore_eos=true", "n_predict=48"]
    arguments = [word for argument in steady for word in ("--engine-arg", argument)]
    try:
        stoker.up(str(smollm2()), "--context", "2048", "--parallel", "1", *arguments)
        with Proxy(stoker.endpoint) as proxy:
            name = get_json(stoker.endpoint + "/v1/models")["data"][0]["id"]
            window.connect(proxy.url, name)
            window.ask("What does a.py do?")
            assert len(window.answered()) > 40
            window.picture("15-gateway-2048")
            assert not window.has_error()
            (asked,) = _agent_requests(proxy)
            assert asked.status == 200
            assert len(asked.body["tools"]) > 20
    finally:
        stoker.run("down")


def _at_length(body: Body, tokens: int = 48) -> Body:
    """Asks for exactly ``tokens``: a small model may stop at once or write only empty lines."""
    length = {"min_tokens": tokens, "max_tokens": tokens}
    return {**body, **length, "ignore_eos": True, "frequency_penalty": 2.0}


def _shortened(message: Body) -> Body:
    """A message whose system prompt is quick to read.

    vLLM on a slow CPU reads all of it for more than 300 s, after which Node gives a silent answer
    up.
    """
    content = message["content"]
    if message["role"] != "system" or not isinstance(content, str):
        return message
    return {**message, "content": content[:2000]}


def _list_the_workspace(folder: Path) -> Callable[[Body], Body]:
    """Makes a model that is too small to choose list the folder, then write an answer."""

    def changed(body: Body) -> Body:
        tools = [t for t in body.get("tools", []) if t["function"]["name"] == "list_dir"]
        if not tools:
            return body
        body = {**body, "messages": [_shortened(message) for message in body["messages"]]}
        schema = {
            "type": "object",
            "properties": {"path": {"type": "string", "enum": [str(folder)]}},
            "required": ["path"],
        }
        tool = {**tools[0], "function": {**tools[0]["function"], "parameters": schema}}
        if any(message["role"] == "tool" for message in body["messages"]):
            return _at_length({**body, "tools": [tool], "tool_choice": "none"})
        choice = {"type": "function", "function": {"name": "list_dir"}}
        return {**body, "tools": [tool], "tool_choice": choice, "max_tokens": 300}

    return changed


def _the_workspace_is_listed(window: Window, proxy: Proxy, picture: str) -> None:
    """Checks that the model calls the tool, that it runs, and that its result goes back."""
    window.ask("List the files of this workspace.")
    assert len(window.answered()) > 40
    window.picture(picture)
    assert not window.has_error()
    first, second = _agent_requests(proxy)
    *_, call, result = second.body["messages"]
    assert b'"tool_calls"' in first.answer
    assert call["tool_calls"][0]["function"]["name"] == "list_dir"
    assert result["tool_call_id"] == call["tool_calls"][0]["id"]
    assert "a.py" in str(result["content"])


def test_a_tool_that_is_called_through_the_gateway_runs_and_its_result_goes_back(
    window: Window, logs: Path, tmp_path: Path
) -> None:
    """SmolLM2's template has no tools: the gateway adds them to the prompt and finds the call."""
    stoker = Stoker(tmp_path, free_port())
    name = "smol-tools"
    log = logs / "tools.log"
    with Llama(log, n_ctx=8192, slots=1, n_predict=300, alias=name, ignore_eos=False) as llama:
        try:
            assert stoker.run("adopt", llama.url, "--port", str(stoker.port)).returncode == 0
            with Proxy(stoker.endpoint, _list_the_workspace(window.server.workspace)) as proxy:
                window.connect(proxy.url, name)
                _the_workspace_is_listed(window, proxy, "16-tool")
        finally:
            stoker.run("down")


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM with one layer of SmolLM2 (all 30 read an agent's prompt for minutes)."""
    folder = tmp_path_factory.mktemp("vllm")
    plan = vllm_cpu.plan(
        one_layer_folder(vllm_cpu.installed().model, folder),
        max_model_len=32_768,
        chat_template=str(TOOLS_TEMPLATE),
        enable_auto_tool_choice=True,
        tool_call_parser="hermes",
    )
    with vllm_cpu.running(folder / "vllm.log", plan) as url:
        yield url


def test_vllm_answers_an_agent_question_at_32768(window: Window, vllm: str) -> None:
    with Proxy(vllm, _at_length) as proxy:
        window.connect(proxy.url, "smollm2")
        window.ask("What does a.py do?")
        assert len(window.answered()) > 40
        window.picture("17-vllm-32768")
        assert not window.has_error()
        (asked,) = _agent_requests(proxy)
        assert len(asked.body["tools"]) > 20


def _running(vllm: str) -> int:
    """The number of requests that vLLM reports as running."""
    with urllib.request.urlopen(vllm + "/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return int(sum(map(float, re.findall(r"^vllm:num_requests_running\S* (\S+)", text, re.M))))


@pytest.fixture(scope="module")
def whole_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM with all of Qwen2.5-Coder-0.5B, which can call tools.

    A prompt with all tools of agent mode would take it minutes.
    """
    plan = vllm_cpu.plan(
        vllm_cpu.qwen(),
        "qwen",
        max_model_len=32_768,
        enable_auto_tool_choice=True,
        tool_call_parser="hermes",
    )
    with vllm_cpu.running(tmp_path_factory.mktemp("whole-vllm") / "vllm.log", plan) as url:
        yield url


def test_a_tool_that_is_called_on_vllm_itself_runs_and_its_result_goes_back(
    window: Window, whole_vllm: str
) -> None:
    one_tool = _list_the_workspace(window.server.workspace)
    with Proxy(whole_vllm, lambda body: {**one_tool(body), "temperature": 0}) as proxy:
        window.connect(proxy.url, "qwen")
        _the_workspace_is_listed(window, proxy, "19-vllm-tool")


def test_stop_frees_vllm_before_its_answer_ends(window: Window, whole_vllm: str) -> None:
    def long(body: Body) -> Body:
        tools = body.get("tools", [])[:1]
        if not tools:
            return _at_length(body)
        messages = [_shortened(message) for message in body["messages"]]
        return _at_length({**body, "messages": messages, "tools": tools}, 4000)

    with Proxy(whole_vllm, long) as proxy:
        window.connect(proxy.url, "qwen")
        window.ask("Count from 1 to 1000.")
        wait_for(
            "only the answer is being written",
            lambda: _running(whole_vllm) == 1 and [a for a in _agent_requests(proxy) if a.answer],
            ANSWER_S,
        )
        pressed_at = time.monotonic()
        window.browser.do("click", selector=STOP)
        wait_for("vLLM is free", lambda: _running(whole_vllm) == 0, 30)
        took_s = time.monotonic() - pressed_at
        window.picture("20-vllm-stopped")
        assert all(asked.left for asked in _agent_requests(proxy))
        measured("from Stop until vLLM is free", f"{took_s:.2f} s")


def test_vllm_through_the_gateway_answers_an_agent_question(
    window: Window, vllm: str, tmp_path: Path
) -> None:
    stoker = Stoker(tmp_path, free_port())
    assert stoker.run("adopt", vllm, "--port", str(stoker.port)).returncode == 0
    try:
        with Proxy(stoker.endpoint, _at_length) as proxy:
            window.connect(proxy.url, "smollm2")
            window.ask("What does a.py do?")
            assert len(window.answered()) > 40
            window.picture("18-vllm-gateway")
            assert not window.has_error()
            (asked,) = _agent_requests(proxy)
            assert asked.status == 200
    finally:
        stoker.run("down")


def test_the_log_holds_no_chat_text(window: Window) -> None:
    log = window.server.log()
    assert "first token" in log
    assert not re.search(r"Nile|Mars|a\.py|Are you there", log)
    activation_ms = [float(ms) for ms in re.findall(r"active after ([\d.]+) ms", log)]
    assert activation_ms
    measured(
        "activation of the extension", f"{min(activation_ms):.1f} to {max(activation_ms):.1f} ms"
    )
