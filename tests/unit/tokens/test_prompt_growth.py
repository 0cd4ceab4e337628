"""What a conversation adds to a known prompt is never more than its bound."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.fixtures.agent import growing_conversation
from tests.support.real_models import qwen, smollm2
from tests.unit.tokens.strategies import requests
from tests.unit.tokens.test_token_upper_bound import TEMPLATES, rendered_bytes

from stoker.tokens import ChatTemplate, LocalTokenizer, Overheads, growth_bound, overheads_of

#: As Qwen3's: thinking stays in the turn that is under way, and leaves the ones before it.
THINKING = """{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}
{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content and loop.index0 > ns.last %}<think>
{{ m.reasoning_content }}
</think>

{% endif %}{{ m.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
"""
#: As Mistral's 0.3: the tools before each message that equals the last one of the user, the system
#: prompt in the last message where that is the user's.
MISTRAL = """{% set system = messages[0].content if messages[0].role == 'system' else '' %}
{% set rest = messages[1:] if messages[0].role == 'system' else messages %}
{% set asked = rest | selectattr('role', 'equalto', 'user') | list %}{% for m in rest %}
{% if tools and asked and m == asked[-1] %}[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]
{% endif %}{% if m.role == 'user' %}[INST] {% if loop.last and system %}{{ system }}

{% endif %}{{ m.content }}[/INST]{% else %}[{{ m.role }}] {{ m.content }}
{% for c in m.tool_calls or [] %}{{ c | tojson }}{% endfor %}</s>{% endif %}{% endfor %}"""
#: Nothing stands between two messages that a tokenizer would not merge with their texts.
BARE = "{% for m in messages %}{{ m.content }}{% endfor %}"
ALL = {**TEMPLATES, "thinking": THINKING, "mistral": MISTRAL, "bare": BARE}
#: Texts that merge badly with their neighbours, and any others.
TEXTS = st.text(alphabet=" \n\taeio1/-=_'\u0301\U0001f1e9", max_size=24) | st.text(max_size=12)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


@st.composite
def grown(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """A request, with thinking or without, and how many of its messages were sent before."""
    request = draw(requests())
    for message in request["messages"]:
        if message["role"] == "assistant" and draw(st.booleans()):
            message["reasoning_content"] = draw(TEXTS)
    return request, draw(st.integers(1, len(request["messages"])))


@pytest.mark.parametrize("template", ALL.values(), ids=ALL)
@settings(deadline=None, max_examples=24, suppress_health_check=list(HealthCheck), derandomize=True)
@given(case=grown())
def test_no_template_adds_more_bytes_than_the_bound(
    template: str, case: tuple[dict[str, Any], int]
) -> None:
    request, known = case
    growth = growth_bound(request, known, overheads_of(template))
    assume(growth is not None)
    before = {**request, "messages": request["messages"][:known]}
    added = rendered_bytes(template, request) - rendered_bytes(template, before)
    assert added <= (growth or 0)


@pytest.mark.parametrize("template", ALL.values(), ids=ALL)
def test_an_agents_steps_are_bounded(template: str) -> None:
    bounded = 0
    for request in growing_conversation(12):
        messages = request["messages"]
        for known in range(max(1, len(messages) - 4), len(messages)):
            growth = growth_bound(request, known, Overheads())
            if growth is None:
                continue
            bounded += 1
            before = {**request, "messages": messages[:known]}
            added = rendered_bytes(template, request) - rendered_bytes(template, before)
            assert added <= growth
    assert bounded > 5


@pytest.mark.parametrize("model", [smollm2, qwen])
@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck), derandomize=True)
@given(texts=st.lists(TEXTS, min_size=3, max_size=7), known=st.integers(2, 6), own=st.booleans())
def test_real_tokenizers_merge_at_the_seam_within_the_bound(
    model: Any, texts: list[str], known: int, own: bool
) -> None:
    """Bytes are a bound of what was added alone, so only the margin can pay for the seam."""
    local = _local(model)
    messages = [(assistant if at % 2 else user)(text) for at, text in enumerate(texts)]
    request = {"messages": messages}
    nothing = Overheads(0, 0, 0)
    growth = growth_bound(request, min(known, len(messages)), Overheads() if own else nothing)
    assume(growth is not None)
    before = {"messages": messages[:known]}
    if own:
        added = local.count_request(request) - local.count_request(before)
    else:
        bare = ChatTemplate(BARE)
        whole, part = local.count_strings([bare.render(request), bare.render(before)])
        added = whole - part
    assert added <= (growth or 0)


_KNOWN: dict[Any, LocalTokenizer] = {}


def _local(model: Any) -> LocalTokenizer:
    if model not in _KNOWN:
        _KNOWN[model] = LocalTokenizer.from_gguf(model())
    return _KNOWN[model]


ASKED = [
    {"role": "system", "content": "Be brief."},
    user("Go on."),
    assistant("Yes."),
    user("And?"),
]
LOOK = [{"type": "function", "function": {"name": "look", "parameters": {}}}]


def test_the_same_prompt_again_is_known_but_for_the_margin() -> None:
    assert growth_bound({"messages": ASKED}, 4, Overheads()) == 64


@pytest.mark.parametrize(
    "added",
    [
        [assistant("Now")],
        [
            assistant("", tool_calls=[{"function": {"name": "look"}}]),
            {"role": "tool", "content": ""},
        ],
        [assistant("Hm."), user("Go on.")],
        [assistant("Hm."), user("More?"), assistant("Hm."), user("More?")],
        [assistant("Hm."), user([{"type": "image_url", "image_url": {"url": "data:"}}])],  # type: ignore[arg-type]
        [assistant("Hm.", thoughts="long"), user("Yes?")],
        [assistant("Hm.", tool_calls=[{"custom": {"input": "x" * 999}}]), user("Yes?")],
    ],
    ids=["last role", "new role", "question", "twice", "image", "unknown field", "unknown call"],
)
def test_nothing_is_sure_where_a_template_may_render_what_is_known_otherwise(
    added: list[dict[str, Any]],
) -> None:
    request = {"messages": [*ASKED, *added], "tools": LOOK}
    assert growth_bound(request, len(ASKED), Overheads()) is None


@pytest.mark.parametrize("name", ["chat_template", "documents"])
def test_nothing_is_sure_of_a_clients_own_template(name: str) -> None:
    request = {"messages": [*ASKED, assistant("Hm."), user("Yes?")], name: "{{ messages }}"}
    assert growth_bound(request, len(ASKED), Overheads()) is None


def test_a_variable_of_the_template_may_stand_in_every_message() -> None:
    request = {"messages": [*ASKED, assistant("Hm."), user("Yes?")]}
    variables = {"style": "x" * 500}
    plain = growth_bound(request, len(ASKED), Overheads())
    more = growth_bound({**request, "chat_template_kwargs": variables}, len(ASKED), Overheads())
    assert plain is not None
    assert (more or 0) >= plain + 2 * 500
