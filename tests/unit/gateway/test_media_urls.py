"""No server fetches what a request names: data URLs pass, and hosts that the owner allows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import MODEL, gateway_with
from tests.unit.gateway.test_backend_faults import fine

from stoker.gateway.api.media_urls import MediaHosts, refuse_servers
from stoker.gateway.api.request_validation import BadRequestError

EVIL = "http://169.254.169.254/latest/meta-data"


def chat(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(parts)}]}


#: One for each place in which an engine was seen to read an address, and each disguise.
REFUSED: dict[str, dict[str, Any]] = {
    "image": chat({"type": "image_url", "image_url": {"url": EVIL}}),
    "https": chat({"type": "image_url", "image_url": {"url": "https://a.example/a.png"}}),
    "upper case": chat({"type": "image_url", "image_url": {"url": EVIL.upper()}}),
    "blank before it": chat({"type": "image_url", "image_url": {"url": f" \t{EVIL}"}}),
    "file": chat({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
    "path": chat({"type": "image_url", "image_url": {"url": "/etc/secret.png"}}),
    "no scheme": chat({"type": "image_url", "image_url": {"url": "//10.0.0.1/a.png"}}),
    "short form": chat({"image_url": EVIL}),
    "list": chat({"type": "image_url", "image_url": [{"url": EVIL}]}),
    "with the type of a text": chat({"type": "text", "text": "a", "uuid": "a", "image_url": EVIL}),
    "with the type of a call": chat({"type": "x_call", "uuid": "a", "image_url": {"url": EVIL}}),
    "with a role": chat({"type": "image_url", "role": "user", "image_url": {"url": EVIL}}),
    "sound": chat({"type": "audio_url", "audio_url": {"url": EVIL}}),
    "sound as data": chat({"type": "input_audio", "input_audio": {"data": EVIL, "format": "wav"}}),
    "video": chat({"type": "video_url", "video_url": {"url": EVIL}}),
    "file of a chat": chat({"type": "file", "file": {"file_data": EVIL, "filename": "a"}}),
    "result of a tool": chat({"type": "image_url", "image_url": {"url": EVIL}}, role="tool"),
    "earlier answer": chat({"type": "image_url", "image_url": {"url": EVIL}}, role="assistant"),
    "pictures beside a text": {"messages": [{"role": "user", "content": "a", "images": [EVIL]}]},
    "data of a completion": {"prompt": {"prompt_string": "a", "multimodal_data": [EVIL]}},
    "Messages, image": chat({"type": "image", "source": {"type": "url", "url": EVIL}}),
    "Messages, document": chat({"type": "document", "source": {"type": "url", "url": EVIL}}),
    "Messages, result": chat(
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [{"type": "image", "source": {"type": "url", "url": EVIL}}],
        }
    ),
    "Messages, document of parts": chat(
        {
            "type": "document",
            "source": {
                "type": "content",
                "content": [{"type": "image", "source": {"type": "url", "url": EVIL}}],
            },
        }
    ),
    "Messages, system": {"system": [{"type": "image", "source": {"type": "url", "url": EVIL}}]},
    "Responses, image": {"input": chat({"type": "input_image", "image_url": EVIL})["messages"]},
    "Responses, file": {"input": chat({"type": "input_file", "file_url": EVIL})["messages"]},
    "Responses, result": {
        "input": [
            {
                "type": "function_call_output",
                "call_id": "a",
                "output": [{"type": "input_image", "image_url": EVIL}],
            }
        ]
    },
    "Responses, screenshot": {
        "input": [
            {
                "type": "computer_call_output",
                "call_id": "a",
                "output": {"type": "computer_screenshot", "image_url": EVIL},
            }
        ]
    },
}
DATA = "data:image/png;base64,iVBORw0KGgo="
PASSED: dict[str, dict[str, Any]] = {
    "data URL": chat({"type": "image_url", "image_url": {"url": DATA}}),
    "data URL in upper case": chat({"type": "image_url", "image_url": {"url": "DATA:,a"}}),
    "base64": chat({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}),
    "base64 in Messages": chat(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
    ),
    "data URL in Responses": {
        "input": chat({"type": "input_image", "image_url": DATA})["messages"]
    },
    "text": chat({"type": "text", "text": EVIL}),
    "text alone": {"messages": [{"role": "user", "content": EVIL}]},
    "thoughts": {"messages": [{"role": "assistant", "content": "", "reasoning_content": EVIL}]},
    "arguments": {
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"url": EVIL}}}],
            }
        ]
    },
    "input of a tool": chat({"type": "tool_use", "id": "a", "name": "f", "input": {"url": EVIL}}),
    "document of text": chat(
        {"type": "document", "title": EVIL, "source": {"type": "text", "data": EVIL}}
    ),
    "what a search found": chat({"type": "search_result", "source": EVIL, "content": []}),
    "quotation": chat(
        {"type": "text", "text": "a", "citations": [{"type": "web", "url": EVIL}]},
        {"type": "output_text", "text": "a", "annotations": [{"url": EVIL}]},
    ),
    "opened page": {"input": [{"type": "web_search_call", "action": {"url": EVIL}}]},
    "JSON as a result": {
        "input": [{"type": "function_call_output", "call_id": "a", "output": {"url": EVIL}}]
    },
    "texts to complete": {"prompt": [EVIL, EVIL]},
    "texts to embed": {"input": [EVIL, EVIL]},
    "tokens to embed": {"input": [[1, 2], [3]]},
    "id with a colon": chat({"type": "tool_result", "tool_use_id": "call:1", "content": EVIL}),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_an_address_to_fetch_is_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError, match="allowed_media_hosts") as error:
        MediaHosts().check(request_)
    assert error.value.code == "media_url_not_allowed"
    assert EVIL not in str(error.value)


@pytest.mark.parametrize("request_", PASSED.values(), ids=PASSED)
def test_content_and_words_pass(request_: dict[str, Any]) -> None:
    MediaHosts().check(request_)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "web_search"}, {"type": "mcp", "server_url": EVIL}]),
        ("mcp_servers", [{"type": "url", "url": EVIL}]),
        ("kv_transfer_params", {"do_remote_prefill": True, "remote_host": "10.0.0.1"}),
    ],
)
def test_a_server_to_connect_to_is_refused_whatever_hosts_are_allowed(
    field: str, value: object
) -> None:
    with pytest.raises(BadRequestError, match=field) as error:
        refuse_servers({"prompt": "a", field: value})
    assert error.value.code == "server_address_not_allowed"
    assert EVIL not in str(error.value)


async def test_no_backend_that_is_passed_a_request_on_gets_a_server_to_connect_to() -> None:
    request = {"input": "a", "tools": [{"type": "mcp", "server_label": "a", "server_url": EVIL}]}
    async with gateway_with(fine) as (front, (backend,)):
        assert (await front.post(orjson.dumps(request), "/v1/responses")).status == 400
        assert not backend.calls


#: The least that each API takes.
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}]},
    "/v1/responses": {"input": "a"},
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "a"}]},
}


@pytest.mark.parametrize("path", REQUESTS)
async def test_one_rule_for_tools_that_are_no_functions_in_every_api(path: str) -> None:
    """With the address of a server they are refused; others are left out, and named."""
    async with gateway_with(fine) as (front, (backend,)):
        named = {"type": "mcp", "server_label": "a", "server_url": EVIL}
        refused = await front.post(orjson.dumps({**REQUESTS[path], "tools": [named]}), path)
        assert refused.status == 400
        assert not backend.calls
        hosted = {"type": "mcp", "server_label": "a", "connector_id": "mail"}
        answered = await front.post(orjson.dumps({**REQUESTS[path], "tools": [hosted]}), path)
        assert answered.status == 200
        assert "ignored=mcp" in answered.headers["x-stoker-fit"]
        assert "tools" not in backend.calls[-1].body


def test_settings_of_a_transfer_that_name_no_server_pass() -> None:
    refuse_servers({"prompt": "a", "kv_transfer_params": {"lmcache.tag.user": "ann"}})


def test_an_allowed_host_passes_under_no_disguise() -> None:
    hosts = MediaHosts(["images.example.com", "*.cdn.example"])

    def check(url: str) -> None:
        hosts.check(chat({"type": "image_url", "image_url": {"url": url}}))

    for url in ("https://images.example.com/a.png?b=c", "http://x.CDN.example:8080/"):
        check(url)
    for url in (
        "https://evil.example/images.example.com",
        "https://images.example.com@evil.example/",
        "https://images.example.com:a@evil.example/",
        "https://evil.example\\@images.example.com/",
        "https://images.example.com\\.evil.example/",
        "https://images.example.com.evil.example/",
        " https://images.example.com/",
        "https://images.example.com /",
        "file://images.example.com/etc/passwd",
        "https:images.example.com",
    ):
        with pytest.raises(BadRequestError):
            check(url)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "image"),
        ("/v1/embeddings", "image"),
        ("/tokenize", "image"),
        ("/fit", "image"),
        ("/v1/messages", "Messages, result"),
        ("/v1/messages/count_tokens", "Messages, image"),
        ("/v1/responses", "Responses, image"),
    ],
)
async def test_no_path_takes_it_to_a_backend(path: str, name: str) -> None:
    body = {"model": MODEL, "max_tokens": 5, **REFUSED[name]}
    async with gateway_with(fine, vision=True) as (front, (backend,)):
        reply = await front.post(orjson.dumps(body), path)
        assert reply.status == 400
        assert b"allowed_media_hosts" in reply.body
        assert not backend.calls
        front.gateway.use_media_hosts(MediaHosts(["169.254.169.254"]))
        assert b"allowed_media_hosts" not in (await front.post(orjson.dumps(body), path)).body
