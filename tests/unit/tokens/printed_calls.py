"""Print calls as models do, one function a format, for the property test and the fuzzer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from tests.unit.tokens.test_tool_parsing import _tool

from stoker.tokens.tool_calls.minimax_calls import MARK

Call = tuple[str, dict[str, Any]]
TOOLS = [
    _tool("read_file", path={"type": "string"}, line={"type": "integer"}),
    _tool("get_time"),
    _tool(
        "edit",
        text={"type": "string"},
        all={"type": "boolean"},
        edits={"type": "array", "items": {"type": "string"}},
        limit={"anyOf": [{"type": "integer"}, {"type": "null"}]},
    ),
]

_FRAGMENTS = st.sampled_from(
    [
        *(
            "</tool_call>",
            "</parameter>",
            "</invoke>",
            "</arg_value>",
            "</function>",
            "<tool_call>",
        ),
        *('"', "'", "\\", "{", "}", "[", "]", "(", ")", ",", ";", ":", "<", ">", "`", "```", "\n"),
        *("<|call|>", "<|end|>", "<|tool_call_end|>", "<tool_call|>", "</｜DSML｜parameter>", " "),
        *("<|close|>argument<|sep|>", "\\n", "true", "None", "3", "a.py", "ß 漢 🙂", "<think>"),
    ]
)
_TEXT = st.lists(_FRAGMENTS | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4))
TEXTS = _TEXT.map("".join)
CALLS: st.SearchStrategy[Call] = st.one_of(
    st.fixed_dictionaries({"path": TEXTS}, optional={"line": st.integers(0, 10**6)}).map(
        lambda values: ("read_file", values)
    ),
    st.just(("get_time", {})),
    st.fixed_dictionaries(
        {"text": TEXTS},
        optional={
            "all": st.booleans(),
            "edits": st.lists(TEXTS, max_size=3),
            "limit": st.none() | st.integers(-5, 5),
        },
    ).map(lambda values: ("edit", values)),
)


def _json(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _object(call: Call, name: str = "name", arguments: str = "arguments") -> str:
    return _json({name: call[0], arguments: call[1]})


def _python(call: Call) -> str:
    return f"{call[0]}({', '.join(f'{key}={value!r}' for key, value in call[1].items())})"


def _invoke(call: Call, space: str = "", typed: bool = False) -> str:
    def kind(value: Any) -> str:
        return f' string="{"true" if isinstance(value, str) else "false"}"' if typed else ""

    inner = "".join(
        f'<{space}parameter name="{key}"{kind(value)}>{_text(value)}</{space}parameter>\n'
        for key, value in call[1].items()
    )
    return f'<{space}invoke name="{call[0]}">\n{inner}</{space}invoke>\n'


def _pairs(call: Call, space: str = "") -> str:
    return f"{call[0]}\n" + "".join(
        f"<{space}arg_key>{key}</{space}arg_key>\n"
        f"<{space}arg_value>{_text(value)}</{space}arg_value>\n"
        for key, value in call[1].items()
    )


def _qwen(call: Call) -> str:
    inner = "".join(
        f"<parameter={key}>\n{_text(value)}\n</parameter>\n" for key, value in call[1].items()
    )
    return f"<function={call[0]}>\n{inner}</function>"


def _gemma_value(value: Any) -> str:
    if isinstance(value, str):
        return f'<|"|>{value}<|"|>'
    if isinstance(value, list):
        return f"[{','.join(map(_gemma_value, value))}]"
    return _json(value)


def _gemma(call: Call) -> str:
    inner = ",".join(f"{key}:{_gemma_value(value)}" for key, value in call[1].items())
    return f"<|tool_call>call:{call[0]}{{{inner}}}<tool_call|>"


def _element(name: str, value: Any) -> str:
    inner = _text(value)
    if isinstance(value, list):
        inner = "".join(_element("item", item) for item in value)
    return f"{MARK}<{name}>{inner}{MARK}</{name}>"


def _m3(call: Call) -> str:
    inner = "".join(_element(key, value) for key, value in call[1].items())
    return f'{MARK}<invoke name="{call[0]}">\n{inner}\n{MARK}</invoke>\n'


def _k3(call: Call) -> str:
    inner = "".join(
        f'<|open|>argument key="{key}" type="{_k3_type(value)}"<|sep|>{_text(value)}'
        "<|close|>argument<|sep|>"
        for key, value in call[1].items()
    )
    return f'<|open|>call tool="{call[0]}" index="1"<|sep|>{inner}<|close|>call<|sep|>'


def _k3_type(value: Any) -> str:
    names = ((str, "string"), (bool, "boolean"), (int, "number"), (list, "array"))
    return next((name for kind, name in names if isinstance(value, kind)), "null")


def _kimi(calls: Sequence[Call]) -> str:
    return "".join(
        f"<|tool_call_begin|>functions.{name}:{number}<|tool_call_argument_begin|>{_json(values)}"
        "<|tool_call_end|>"
        for number, (name, values) in enumerate(calls)
    )


def _harmony(call: Call) -> str:
    return (
        f"<|start|>assistant<|channel|>commentary to=functions.{call[0]} <|constrain|>json"
        f"<|message|>{_json(call[1])}<|call|>"
    )


def _stripped_harmony(call: Call) -> str:
    return f"assistantcommentary to=functions.{call[0]} json{_json(call[1])}"


def _deepseek(call: Call) -> str:
    return f"<｜tool▁call▁begin｜>{call[0]}<｜tool▁sep｜>{_json(call[1])}<｜tool▁call▁end｜>"


def _each(opening: str, write: Callable[[Call], str], closing: str) -> Callable[..., str]:
    return lambda calls: "\n".join(f"{opening}{write(call)}{closing}" for call in calls)


def _around(
    opening: str, write: Callable[[Call], str], closing: str, between: str = ""
) -> Callable[..., str]:
    return lambda calls: f"{opening}{between.join(map(write, calls))}{closing}"


def _dsml(call: Call) -> str:
    return _invoke(call, "｜DSML｜", True)


def _named(call: Call) -> str:
    return _json({call[0]: call[1]})


PRINTERS: dict[str, Callable[[Sequence[Call]], str]] = {
    "hermes": _each("<tool_call>\n", _object, "\n</tool_call>"),
    "hermes in one tag": _around("<tool_call>", _object, "</tool_call>", "\n"),
    "qwen coder": _each("<tool_call>\n", _qwen, "\n</tool_call>"),
    "seed-oss": _each("<seed:tool_call>\n", _qwen, "\n</seed:tool_call>"),
    "glm": _each("<tool_call>", _pairs, "</tool_call>"),
    "longcat": _each(
        "<longcat_tool_call>", lambda call: _pairs(call, "longcat_"), "</longcat_tool_call>"
    ),
    "minimax m2": _around("<minimax:tool_call>\n", _invoke, "</minimax:tool_call>"),
    "minimax m3": _around(f"{MARK}<tool_call>\n", _m3, f"{MARK}</tool_call>"),
    "invoke": _around("<function_calls>\n", _invoke, "</function_calls>"),
    "dsml": _around("<｜DSML｜tool_calls>\n", _dsml, "</｜DSML｜tool_calls>"),
    "kimi k2": lambda calls: (
        f"<|tool_calls_section_begin|>{_kimi(calls)}<|tool_calls_section_end|>"
    ),
    "kimi k3": _around("<|open|>tools<|sep|>", _k3, "<|close|>tools<|sep|>"),
    "harmony": _around("", _harmony, ""),
    "harmony without special tokens": _around("", _stripped_harmony, ""),
    "deepseek v3.1": _around("<｜tool▁calls▁begin｜>", _deepseek, "<｜tool▁calls▁end｜>"),
    "gemma 4": _around("", _gemma, ""),
    "lfm2": _around("<|tool_call_start|>[", _python, "]<|tool_call_end|>", ", "),
    "olmo 3": _around("<function_calls>", _python, "</function_calls>", "\n"),
    "gemma 3": _around("```tool_code\n", _python, "\n```", "\n"),
    "llama 4": _around("[", _python, "]", ", "),
    "llama 3": _around("<|python_tag|>", _object, "<|eom_id|>", "; "),
    "llama 3 without a tag": _around("", _object, "", "; "),
    "nemotron": _around("<TOOLCALL>[", _object, "]</TOOLCALL>", ", "),
    "granite 3.0": _around("<|tool_call|>[", _object, "]", ", "),
    "command r7b": _around(
        "<|START_ACTION|>[\n",
        lambda call: _object(call, "tool_name", "parameters"),
        "\n]<|END_ACTION|>",
        ",\n",
    ),
    "apertus": _around("<|tools_prefix|>[", _named, "]<|tools_suffix|>", ", "),
    "phi-4-mini": _around("functools[", _object, "]", ", "),
    "mistral": _around("[TOOL_CALLS][", _object, "]", ", "),
}
#: The tags between which values stand: a value that holds one pair of them is no longer one.
_AMBIGUOUS = re.compile(
    r"</[\w:]*(?:｜DSML｜)?(?:parameter|arg_value)>\s*(?:<|$)|<\|close\|>argument<\|sep\|>\s*<\|"
)


def can_print(name: str, calls: Sequence[Call]) -> bool:
    """Whether the format can hold the texts of these calls and still be read in one way."""
    texts = [_text(value) for _, values in calls for value in values.values()]
    if name in {"qwen coder", "seed-oss"}:
        return not any(
            mark in text for text in texts for mark in ("<", ">", "parameter", "\\")
        ) and not any(text != text.strip() for text in texts)
    if name in {"minimax m2", "invoke", "dsml", "glm", "longcat", "kimi k3"}:
        return not any(_AMBIGUOUS.search(text) for text in texts)
    if name == "minimax m3":
        return not any(call[1].get("edits") == [] for call in calls)
    return True
