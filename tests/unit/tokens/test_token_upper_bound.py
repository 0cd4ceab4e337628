"""The bound never lies below what a template renders, in bytes, and so in tokens."""

from __future__ import annotations

import copy
import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.fixtures.agent import agent_request, growing_conversation
from tests.unit.tokens.strategies import requests

from stoker.tokens import ChatTemplate, Overheads, overheads_of, prompt_bound

CHATML = """{% if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}
You may call functions:
{% for t in tools %}{{ t | tojson }}
{% endfor %}<|im_end|>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
INDENTED = """{{ bos_token }}Today is {{ strftime_now("%d %B %Y") }}.
{% for t in tools or [] %}{{ t | tojson(indent=4) }}

{% endfor %}{% for m in messages %}<|start|>{{ m.role }}<|end|>

{% if m.role == 'tool' %}{{ m.content | tojson }}{% else %}{{ m.content }}{% endif %}
{% for c in m.tool_calls or [] %}{{ c | tojson(indent=4) }}{% endfor %}<|eot|>{% endfor %}"""
XML = """{% macro show(items) %}{% for name, schema in items | items %}
<parameter>
<name>{{ name }}</name>
<type>{{ schema.type }}</type>
<description>{{ schema.description }}</description>
</parameter>{% endfor %}{% endmacro %}
{% for t in tools or [] %}<function>
<name>{{ t.function.name }}</name>
<description>{{ t.function.description | trim }}</description>
<parameters>{{ show(t.function.parameters.properties) }}</parameters>
</function>{% endfor %}
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for c in m.tool_calls or [] %}
<function={{ c.function.name }}>
{% for name, value in c.function.arguments | items %}<parameter={{ name }}>
{{ value | tojson if value is mapping else value }}
</parameter>
{% endfor %}</function>{% endfor %}<|im_end|>
{% endfor %}"""
TEMPLATES = {"chatml": CHATML, "indented": INDENTED, "xml": XML}


def rendered_bytes(template: str, request: dict[str, Any]) -> int:
    text = ChatTemplate(template, {"bos_token": "<s>"}).render(request)
    return len(unicodedata.normalize("NFC", text).encode())


def bound_of(template: str, request: dict[str, Any]) -> int:
    bound = prompt_bound(request, overheads_of(template))
    assert bound is not None
    return bound


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(request=requests())
def test_no_template_renders_more_bytes_than_the_bound(
    template: str, request: dict[str, Any]
) -> None:
    assert rendered_bytes(template, request) <= bound_of(template, request)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_it_holds_for_agents(template: str) -> None:
    for request in growing_conversation(12):
        rendered = rendered_bytes(template, request)
        assert rendered <= bound_of(template, request)
        assert rendered <= (prompt_bound(request, Overheads()) or 0)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_text_that_grows_when_it_is_composed_or_escaped_is_bounded(template: str) -> None:
    for text in ("\U0001d160" * 50, "\x01" * 50, '"\\\n' * 50, "\ufb2c" * 50):
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages = [
            {"role": "user", "content": text},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": text},
        ]
        request = {"messages": messages}
        assert rendered_bytes(template, request) <= bound_of(template, request)


def test_it_is_close_enough_to_spare_a_short_chat_the_counting() -> None:
    request = agent_request()
    del request["tools"]
    assert bound_of(CHATML, request) < 1.25 * rendered_bytes(CHATML, request) + 1000


@pytest.mark.parametrize(
    "content", [[{"type": "image_url", "image_url": {"url": "data:"}}], [{"type": "input_audio"}]]
)
def test_what_is_not_text_has_no_bound(content: object) -> None:
    assert prompt_bound({"messages": [{"role": "user", "content": content}]}, Overheads()) is None


@pytest.mark.parametrize("messages", [None, "text", [1], [None]])
def test_what_is_no_conversation_has_no_bound(messages: object) -> None:
    assert prompt_bound({"messages": messages}, Overheads()) is None


def test_a_template_that_cannot_be_read_gets_the_defaults() -> None:
    assert overheads_of("{% for %}") == Overheads()


def test_the_request_is_only_read() -> None:
    request = agent_request()
    before = copy.deepcopy(request)
    bound_of(CHATML, request)
    assert request == before


@pytest.mark.parametrize("name", ["chat_template", "chat_template_kwargs", "documents"])
def test_nothing_is_sure_of_a_prompt_that_the_client_may_add_to(name: str) -> None:
    request = {"messages": [{"role": "user", "content": "hi"}]}
    assert prompt_bound(request, Overheads()) is not None
    assert prompt_bound({**request, name: {"text": "a" * 9000}}, Overheads()) is None
    assert prompt_bound({**request, name: None}, Overheads()) is not None
