"""Every format in which a model prints calls is read, whole, wherever the stream is cut.

The forms are those of the models' chat templates and of the tests of vLLM's, SGLang's and
llama.cpp's parsers.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.unit.tokens.test_tool_parsing import _tool, calls, parse, text

from stoker.tokens.tool_calls import ThoughtPart, ToolCallParser, ToolSchemas, parse_answer
from stoker.tokens.tool_calls.call_formats import FORMATS

TOOLS = [
    _tool("read_file", path={"type": "string"}, line={"type": "integer"}),
    _tool("list_dir", path={"type": "string"}),
    _tool("get_time"),
    _tool("get-info", query={"type": "string"}),
    _tool(
        "edit",
        file={"type": "string"},
        edits={"type": "array"},
        all={"type": "boolean"},
        limit={"anyOf": [{"type": "integer"}, {"type": "null"}]},
        label={"anyOf": [{"type": "string"}, {"type": "null"}]},
        options={"type": "object"},
    ),
]
READ = ("read_file", {"path": "a.py", "line": 3})
LIST = ("list_dir", {"path": "."})
READ_ARGS, LIST_ARGS = '{"path": "a.py", "line": 3}', '{"path": "."}'
READ_JSON = f'{{"name": "read_file", "arguments": {READ_ARGS}}}'
LIST_JSON = f'{{"name": "list_dir", "arguments": {LIST_ARGS}}}'
PYTHON = 'read_file(path="a.py", line=3)', 'list_dir(path=".")'


def invokes(space: str = "", attribute: str = "") -> str:
    path, line = ("true", "false") if attribute else ("", "")
    path, line = (f' {attribute}="{path}"', f' {attribute}="{line}"') if attribute else ("", "")
    return (
        f'<{space}invoke name="read_file">\n'
        f'<{space}parameter name="path"{path}>a.py</{space}parameter>\n'
        f'<{space}parameter name="line"{line}>3</{space}parameter>\n</{space}invoke>\n'
        f'<{space}invoke name="list_dir">\n'
        f'<{space}parameter name="path"{path}>.</{space}parameter>\n</{space}invoke>\n'
    )


def pairs(space: str = "", suffix: str = "") -> tuple[str, str]:
    def pair(key: str, value: str) -> str:
        return (
            f"<{space}arg_key{suffix}>{key}</{space}arg_key{suffix}>\n"
            f"<{space}arg_value{suffix}>{value}</{space}arg_value{suffix}>\n"
        )

    read = f"read_file\n{pair('path', 'a.py')}{pair('line', '3')}"
    return read, f"list_dir\n{pair('path', '.')}"


def qwen(name: str, **values: str) -> str:
    inner = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    return f"<function={name}>\n{inner}</function>"


MARK = "]<]minimax[>["
K3 = "<|open|>{}<|sep|>", "<|close|>{}<|sep|>"
STEP = "<｜tool_call_begin｜>function<｜tool_sep｜>", "<｜tool_call_end｜>"
DEEPSEEK = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"


PLAMO = "<|plamo:begin_{}:plamo|>", "<|plamo:end_{}:plamo|>"


def plamo_call(name: str, arguments: str) -> str:
    called = PLAMO[0].format("tool_name") + name + PLAMO[1].format("tool_name")
    given = f"<|plamo:constrain|>json<|plamo:msg|>{arguments}"
    given = PLAMO[0].format("tool_arguments") + given + PLAMO[1].format("tool_arguments")
    return PLAMO[0].format("tool_request") + called + given + PLAMO[1].format("tool_request")


def k3_call(name: str, *arguments: tuple[str, str, str]) -> str:
    inner = "".join(
        K3[0].format(f'argument key="{key}" type="{kind}"') + value + K3[1].format("argument")
        for key, kind, value in arguments
    )
    return K3[0].format(f'call tool="{name}" index="1"') + inner + K3[1].format("call")


def element(name: str, value: str) -> str:
    return f"{MARK}<{name}>{value}{MARK}</{name}>"


def m3(name: str, body: str) -> str:
    return f'{MARK}<invoke name="{name}">\n{body}\n{MARK}</invoke>\n'


PLAIN_BARS = "<|tool▁call▁begin|>", "<|tool▁sep|>", "<|tool▁call▁end|>"
KIMI_BARS = "<|tool_call_begin|>", "<|tool_sep|>", "<|tool_call_end|>"

#: Each format with the calls of ``READ`` and ``LIST``, as its model prints two calls.
BOTH: dict[str, str] = {
    "kimi k2": "<|tool_calls_section_begin|>"
    f"<|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>{READ_ARGS}"
    "<|tool_call_end|>"
    f"<|tool_call_begin|>functions.list_dir:1<|tool_call_argument_begin|>{LIST_ARGS}"
    "<|tool_call_end|><|tool_calls_section_end|>",
    "kimi k2, singular section": "<|tool_call_section_begin|> "
    f"<|tool_call_begin|> functions.read_file:0 <|tool_call_argument_begin|> {READ_ARGS} "
    "<|tool_call_end|> "
    f"<|tool_call_begin|> functions.list_dir:1 <|tool_call_argument_begin|> {LIST_ARGS} "
    "<|tool_call_end|> <|tool_call_section_end|>",
    "kimi k2 without its section": (
        f"<|tool_call_begin|>read_file:0<|tool_call_argument_begin|>{READ_ARGS}<|tool_call_end|>"
        f"<|tool_call_begin|>list_dir:1<|tool_call_argument_begin|>{LIST_ARGS}<|tool_call_end|>"
    ),
    # PLaMo 3 and Inkling as vllm/parser/plamo3.py and vllm/parser/inkling.py of 0.32 show them.
    "plamo 3": PLAMO[0].format("tool_requests")
    + plamo_call("read_file", READ_ARGS)
    + plamo_call("list_dir", LIST_ARGS)
    + PLAMO[1].format("tool_requests")
    + "<|plamo:tag|>",
    "plamo 3 without its wrapper": plamo_call("read_file", READ_ARGS)
    + plamo_call("list_dir", LIST_ARGS),
    "inkling": "".join(
        f'<|message_model|><|content_invoke_tool_json|>{{"name":"{name}","args":{values}}}'
        "<|end_message|>"
        for name, values in (("read_file", READ_ARGS), ("list_dir", LIST_ARGS))
    )
    + "<|content_model_end_sampling|>",
    "inkling, begun by its prompt": "<|content_invoke_tool_json|>"
    f'{{"name":"read_file","args":{READ_ARGS}}}<|end_message|>'
    f'<|content_invoke_tool_json|>{{"name":"list_dir","args":{LIST_ARGS}}}<|end_message|>',
    # vLLM's tests of its parsers for GigaChat 3 and HyperCLOVA X.
    "gigachat 3 with its header": f"function call<|role_sep|>\n[{READ_JSON}, {LIST_JSON}]",
    "hyperclova x": f"<|im_start|>assistant -> tool/function_call\n[{READ_JSON}, {LIST_JSON}]"
    "<|im_end|>",
    "hyperclova x, begun by its prompt": f" -> tool/function_call\n[{READ_JSON}, {LIST_JSON}]",
    "kimi k3": K3[0].format("tools")
    + k3_call("read_file", ("path", "string", "a.py"), ("line", "number", "3"))
    + k3_call("list_dir", ("path", "string", "."))
    + K3[1].format("tools"),
    "minimax m1": f"<tool_calls>\n{READ_JSON}\n{LIST_JSON}\n</tool_calls>",
    "minimax m2": f"<minimax:tool_call>\n{invokes()}</minimax:tool_call>",
    "minimax m3": f"{MARK}<tool_call>\n"
    + m3("read_file", element("path", "a.py") + "\n" + element("line", "3"))
    + m3("list_dir", element("path", "."))
    + f"{MARK}</tool_call>",
    "invoke": f"<function_calls>\n{invokes()}</function_calls>",
    "invoke without its wrapper": invokes().strip(),
    "invoke with a name space": invokes("antml:").strip(),
    "invoke in a tool_calls tag": f"<tool_calls>{invokes()}</tool_calls>",
    "dots": f"<dots_function_call>\n{invokes()}</dots_function_call>",
    "deepseek v3.2": f"<｜DSML｜function_calls>\n{invokes('｜DSML｜', 'string')}"
    "</｜DSML｜function_calls>",
    "deepseek v4": f"<｜DSML｜tool_calls>\n{invokes('｜DSML｜', 'string')}</｜DSML｜tool_calls>",
    "deepseek v4 without attributes": f"<｜DSML｜tool_calls>\n{invokes('｜DSML｜')}"
    "</｜DSML｜tool_calls>",
    "deepseek v4 with json": f'<｜DSML｜tool_calls><｜DSML｜invoke name="read_file">{READ_ARGS}'
    f'</｜DSML｜invoke><｜DSML｜invoke name="list_dir">{LIST_ARGS}</｜DSML｜invoke>'
    "</｜DSML｜tool_calls>",
    "deepseek v4.1": f"<｜DSML｜ calls>\n{invokes('｜DSML｜ ', 'string')}</｜DSML｜ calls>",
    "deepseek v3": "<｜tool▁calls▁begin｜>"
    f"{DEEPSEEK[0]}function{DEEPSEEK[1]}read_file\n```json\n{READ_ARGS}\n```{DEEPSEEK[2]}\n"
    f"{DEEPSEEK[0]}function{DEEPSEEK[1]}list_dir\n```json\n{LIST_ARGS}\n```{DEEPSEEK[2]}"
    "<｜tool▁calls▁end｜>",
    "step 3": f"<｜tool_calls_begin｜>\n{STEP[0]}"
    + invokes("steptml:").strip().replace("\n<steptml:invoke", f"{STEP[1]}{STEP[0]}<steptml:invoke")
    + f"{STEP[1]}\n<｜tool_calls_end｜>",
    "harmony": "<|channel|>commentary to=functions.read_file <|constrain|>json<|message|>"
    f"{READ_ARGS}<|call|><|start|>assistant<|channel|>commentary to=functions.list_dir "
    f"<|constrain|>json<|message|>{LIST_ARGS}<|call|>",
    "harmony without its special tokens": f"commentary to=functions.read_file json{READ_ARGS}"
    f"assistantcommentary to=functions.list_dir json{LIST_ARGS}",
    "harmony without its special tokens, another type": "assistantcommentary to=functions.read_file"
    f" code{READ_ARGS}assistantcommentary to=functions.list_dir {LIST_ARGS}",
    "harmony, recipient first": "<|start|>assistant to=functions.read_file<|channel|>commentary "
    f"json<|message|>{READ_ARGS}<|call|><|start|>assistant to=functions.list_dir<|channel|>"
    f"commentary json<|message|>{LIST_ARGS}<|call|>",
    "harmony without blanks": "<|start|>assistant<|channel|>commentary to=functions.read_file"
    f"<|constrain|>json<|message|>{READ_ARGS}<|start|>assistant<|channel|>analysis "
    f"to=functions.list_dir code<|message|>{LIST_ARGS}",
    "harmony without a channel": f"<|start|>assistant to=functions.read_file<|message|>{READ_ARGS}"
    f"<|call|><|start|>assistant to=functions.list_dir<|message|>{LIST_ARGS}<|call|>",
    "gemma 4": '<|tool_call>call:read_file{path:<|"|>a.py<|"|>,line:3}<tool_call|>'
    '<|tool_call>call:list_dir{path:<|"|>.<|"|>}<tool_call|>',
    "gemma 4 in one block": '<|tool_call>call:read_file{path:<|"|>a.py<|"|>,line:3}'
    'call:list_dir{path:<|"|>.<|"|>}<tool_call|>',
    "gemma 4 with json strings": '<|tool_call>call:read_file{path: "a.py", line: 3}<tool_call|>'
    '<|tool_call>call:list_dir{"path": "."}<tool_call|>',
    "function gemma": "<start_function_call>call:read_file{line:3,path:<escape>a.py<escape>}"
    "<end_function_call><start_function_call>call:list_dir{path:<escape>.<escape>}"
    "<end_function_call>",
    "gemma 3": f"```tool_code\n{PYTHON[0]}\n{PYTHON[1]}\n```",
    "gemma 3, printed": f"```tool_code\nprint(default_api.{PYTHON[0]})\nprint({PYTHON[1]})\n```",
    "lfm2": f"<|tool_call_start|>[{PYTHON[0]}, {PYTHON[1]}]<|tool_call_end|>",
    "llama 4": f"<|python_start|>[{PYTHON[0]}, {PYTHON[1]}]<|python_end|>",
    "llama 3, joined": f"{READ_JSON}; {LIST_JSON}",
    "llama 3, joined behind a tag": f"<|python_tag|>{READ_JSON}; {LIST_JSON}<|eom_id|>",
    "olmo 3": f"<function_calls>{PYTHON[0]}\n{PYTHON[1]}</function_calls>",
    "nemotron": f"<TOOLCALL>[{READ_JSON}, {LIST_JSON}]</TOOLCALL>",
    "granite 3.0": f"<|tool_call|>[{READ_JSON}, {LIST_JSON}]",
    "granite 20b": f"<function_call> {READ_JSON}\n<function_call> {LIST_JSON}",
    "granite 4": f"<tool_call>\n{READ_JSON}\n</tool_call>\n<tool_call>\n{LIST_JSON}\n</tool_call>",
    "command r7b": '<|START_ACTION|>[\n{"tool_call_id": "0", "tool_name": "read_file", '
    f'"parameters": {READ_ARGS}}},\n{{"tool_call_id": "1", "tool_name": "list_dir", '
    f'"parameters": {LIST_ARGS}}}\n]<|END_ACTION|>',
    "command r": 'Action: ```json\n[{"tool_name": "read_file", "parameters": '
    f'{READ_ARGS}}}, {{"tool_name": "list_dir", "parameters": {LIST_ARGS}}}]\n```',
    "internlm, tokens set apart": f"<|action_start|> <|plugin|>\n{READ_JSON}<|action_end|>"
    f"<|action_start|> <|plugin|>\n{LIST_JSON}<|action_end|>",
    "gemma 3 in tags": f"<tool_code>\n{PYTHON[0]}\n{PYTHON[1]}\n</tool_code>",
    "harmony, the channel twice": "<|channel|>commentary to=functions.read_file<|channel|>"
    f"commentary json<|message|>{READ_ARGS}<|call|><|start|>assistant<|channel|>commentary "
    f"to=functions.list_dir<|message|>{LIST_ARGS}<|call|>",
    "apertus": f'<|tools_prefix|>[{{"read_file": {READ_ARGS}}}, {{"list_dir": {LIST_ARGS}}}]'
    "<|tools_suffix|>",
    "longcat": f"<longcat_tool_call>\n{READ_JSON}\n</longcat_tool_call>\n<longcat_tool_call>\n"
    f"{LIST_JSON}\n</longcat_tool_call>",
    "longcat with tags": "\n".join(
        f"<longcat_tool_call>{call}</longcat_tool_call>" for call in pairs("longcat_")
    ),
    "glm": "\n".join(f"<tool_call>{call}</tool_call>" for call in pairs()),
    "glm without line ends": "".join(f"<tool_call>{call}</tool_call>" for call in pairs()).replace(
        "\n", ""
    ),
    "hy 3": "<tool_calls:opensource>\n"
    + "\n".join(
        f"<tool_call:opensource>{call}</tool_call:opensource>".replace(
            "\n", "<tool_sep:opensource>\n", 1
        )
        for call in pairs(suffix=":opensource")
    )
    + "\n</tool_calls:opensource>",
    "k2 horizon": "<ifm|tool_calls>"
    + "".join(f"<ifm|tool_call>{call}</ifm|tool_call>" for call in pairs("ifm|"))
    + "</ifm|tool_calls>",
    "seed-oss": f"<seed:tool_call>\n{qwen('read_file', path='a.py', line='3')}\n</seed:tool_call>"
    f"<seed:tool_call>\n{qwen('list_dir', path='.')}\n</seed:tool_call>",
    "qwen coder in one block": f"<tool_call>\n{qwen('read_file', path='a.py', line='3')}\n"
    f"{qwen('list_dir', path='.')}\n</tool_call>",
    "minicpm 5": '<function name="read_file"><param name="path">a.py</param><param name="line">3'
    '</param></function><function name="list_dir"><param name="path">.</param></function>',
    "hunyuan": f"<tool_calls>[{READ_JSON}, {LIST_JSON}]</tool_calls>",
    "phi-4-mini": f"functools[{READ_JSON}, {LIST_JSON}]",
    "internlm": "<|action_start|><|plugin|>\n"
    f'{{"name": "read_file", "parameters": {READ_ARGS}}}<|action_end|>\n'
    f'<|action_start|><|plugin|>\n{{"name": "list_dir", "parameters": {LIST_ARGS}}}<|action_end|>',
    "solar open": "<|begin|>assistant<|tool_calls|>"
    f"<|tool_call:begin|>0<|tool_call:name|>read_file<|tool_call:args|>{READ_ARGS}"
    f"<|tool_call:end|><|tool_call:begin|>b46<|tool_call:name|>list_dir<|tool_call:args|>"
    f"{LIST_ARGS}<|tool_call:end|><|calls|>",
    "solar open, begun by its prompt": "<|tool_calls|>"
    f"<|tool_call:begin|>0<|tool_call:name|>read_file<|tool_call:args|>{READ_ARGS}"
    f"<|tool_call:end|><|tool_call:begin|>1<|tool_call:name|>list_dir<|tool_call:args|>"
    f"{LIST_ARGS}<|tool_call:end|><|calls|>",
    "lm studio's own": f"[TOOL_REQUEST]\n{READ_JSON}\n[END_TOOL_REQUEST]\n[TOOL_REQUEST]\n"
    f"{LIST_JSON}\n[END_TOOL_REQUEST]",
    **{
        f"deepseek, written as {opening}": opening
        + "".join(
            f"{begin}function{between}{name}\n```json\n{values}\n```{end}"
            for name, values in (("read_file", READ_ARGS), ("list_dir", LIST_ARGS))
        )
        + closing
        for opening, closing, begin, between, end in (
            ("<｜tool▁calls｜>", "<｜tool▁calls▁end｜>", *DEEPSEEK),
            ("<｜tool calls begin｜>", "<｜tool calls end｜>", *DEEPSEEK),
            ("<｜tool\\_calls\\_begin｜>", "<｜tool\\_calls\\_end｜>", *DEEPSEEK),
            ("<|tool▁calls▁begin|>", "<|tool▁calls▁end|>", *PLAIN_BARS),
            ("<|tool_calls_begin|>", "<|tool_calls_end|>", *KIMI_BARS),
        )
    },
    **{
        opening: f"{opening}{READ_JSON}{closing}{opening}{LIST_JSON}{closing}"
        for opening, closing in (
            ("[TOOL_CALL]", "[/TOOL_CALL]"),
            ("<tool_request>", "</tool_request>"),
        )
    },
    **{
        f"deepseek with {bars}{kind}": f"<{bars}{kind}>\n{invokes(bars + blank, 'string')}"
        f"</{bars}{kind}>"
        for bars in ("|DSML|", "｜｜DSML｜｜", "||DSML||")
        for kind, blank in (("function_calls", ""), ("tool_calls", ""), (" calls", " "))
    },
    "tool_use": f"<tool_use>{READ_JSON}</tool_use>\n<tool_use>{LIST_JSON}</tool_use>",
    # The prompts of Cherry Studio and of Kiro.
    "elements": f"<tool_use>\n  <name>read_file</name>\n  <arguments>{READ_ARGS}</arguments>\n"
    f"</tool_use>\n<tool_use><name>list_dir</name><input>{LIST_ARGS}</input></tool_use>",
    "a fence within the tag": f"<tool_call>\n```json\n{READ_JSON}\n```\n</tool_call>\n<tool_call>"
    f"\n```\n{LIST_JSON}\n```\n</tool_call>",
    # The chat template of MiniCPM 4.
    "minicpm 4": f"<|tool_call_start|>\n```python\n{PYTHON[0]}\n{PYTHON[1]}\n```\n"
    "<|tool_call_end|>",
    "react": f"Action: read_file\nAction Input: {READ_ARGS}\n"
    f"Action: list_dir\r\nAction Input:\n{LIST_ARGS}",
    "qwen 2 with qwen-agent": f"✿FUNCTION✿: read_file\n✿ARGS✿: {READ_ARGS}\n✿FUNCTION✿: list_dir\n"
    f"✿ARGS✿: {LIST_ARGS}",
    "glm 4": f"read_file\n{READ_ARGS}\nlist_dir\n{LIST_ARGS}",
    "a call in an object": f'{{"tool_call": {READ_JSON}}};{{"function_call": {LIST_JSON}}}',
    "function with a name and parameters": '<tool_call><function name="read_file"><parameter '
    'name="path">a.py</parameter><parameter name="line">3</parameter></function></tool_call>'
    '<tool_call><function name="list_dir"><parameter name="path">.</parameter></function>'
    "</tool_call>",
    "a bracket missing": f"<tool_call>\n{READ_JSON[:-1]}\n</tool_call>\n<tool_call>\n"
    f"{LIST_JSON[:-2]}\n</tool_call>",
    "brackets of a template": f"<tool_call>{{{READ_JSON}}}</tool_call>\n"
    f"<tool_call>{{{LIST_JSON}}}</tool_call>",
    "keys without quotes": '<tool_call>{name: "read_file", arguments: {path: "a.py", line: 3}}'
    '</tool_call><tool_call>{name: "list_dir", arguments: {path: "."}}</tool_call>',
    "arguments beside the name": '<tool_call>{"name": "read_file", "path": "a.py", "line": 3}'
    '</tool_call><tool_call>{"name": "list_dir", "path": "."}</tool_call>',
    "other keys": f'<tool_call>{{"tool_name": "read_file", "tool_arguments": {READ_ARGS}}}'
    f'</tool_call><tool_call>{{"name": "list_dir", "params": {LIST_ARGS}}}</tool_call>',
    "react's keys": f'{{"action": "read_file", "action_input": {READ_ARGS}}};'
    f'{{"action": "list_dir", "action_input": {LIST_ARGS}}}',
    "qwen coder, a closing tag twice": "<tool_call>\n<function=read_file>\n<parameter=path>\na.py\n"
    "</parameter>\n</parameter>\n<parameter=line>\n3\n</parameter>\n</function>\n</tool_call>\n"
    "<tool_call>\n<function=list_dir>\n<parameter=path>\n.\n</parameter>\n</parameter>\n"
    "</function>\n</tool_call>",
    "llama 3, a bracket missing in its tag": f"<function=read_file{READ_ARGS}</function>"
    f"<function=list_dir{LIST_ARGS}</function>",
    "names in another case": f'<tool_call>{{"name": "Read_File", "arguments": {READ_ARGS}}}'
    f'</tool_call><tool_call>{{"name": "LIST_DIR", "arguments": {LIST_ARGS}}}</tool_call>',
    "tools as tags": "<read_file>\n<path>a.py</path>\n<line>3</line>\n</read_file>\n\n"
    "<list_dir>\n<path>.</path>\n</list_dir>",
    "mistral without its special token": f"read_file[ARGS]{READ_ARGS}\nlist_dir[ARGS]{LIST_ARGS}",
    "kimi without its special tokens": f"functions.read_file:0{READ_ARGS}\n"
    f"functions.list_dir:1{LIST_ARGS}",
    "exaone 4": f"<tool_call>{READ_JSON}</tool_call>\n<tool_call>{LIST_JSON}</tool_call>"
    "[|endofturn|]",
    "gigachat": f"<|function_call|>{READ_JSON}<|message_sep|>\n<|function_call|>{LIST_JSON}",
    "xlam": f"[{READ_JSON}, {LIST_JSON}]",
    "python's quotes": "<tool_call>{'name': 'read_file', 'arguments': {'path': 'a.py', 'line': 3}}"
    "\n{'name': 'list_dir', 'arguments': {'path': '.'}}</tool_call>",
    "two in one tag": f"<tool_call>\n{READ_JSON}\n{LIST_JSON}\n</tool_call>",
    "one bracket too many": f"<tool_call>\n{READ_JSON}}}\n</tool_call>\n"
    f"<tool_call>\n{LIST_JSON}}}\n</tool_call>",
    "opening tags for closing ones": f"<tool_call>\n{READ_JSON}\n<tool_call>\n{LIST_JSON}\n"
    "<tool_call>",
    "tags in tags": f"<tool_calls><tool_call>{READ_JSON}</tool_call><tool_call>{LIST_JSON}"
    "</tool_call></tool_calls>",
    "a closing tag too many": f"<tool_call>{READ_JSON}</tool_call></tool_call>\n<tool_call>"
    f"{LIST_JSON}</tool_call>\n</tool_calls><|im_end|>",
}
EACH = pytest.mark.parametrize("answer", BOTH.values(), ids=BOTH.keys())


@EACH
def test_both_calls_are_found_and_no_marker_is_left(answer: str) -> None:
    events = parse([answer], TOOLS)
    assert calls(events) == [READ, LIST]
    assert text(events).strip() == ""


@EACH
def test_the_text_around_the_calls_stays(answer: str) -> None:
    events = parse([f"I look.\n{answer}\n\nThat is it."], TOOLS)
    assert calls(events) == [READ, LIST]
    assert text(events).split() == ["I", "look.", "That", "is", "it."]


@EACH
def test_the_calls_are_the_same_wherever_the_stream_is_cut(answer: str) -> None:
    whole = parse([answer], TOOLS)
    assert parse(list(answer), TOOLS) == whole
    for at in range(1, len(answer)):
        assert parse([answer[:at], answer[at:]], TOOLS) == whole


@EACH
def test_a_call_that_was_cut_is_no_call_and_its_text_is_shown(answer: str) -> None:
    for end in range(1, len(answer)):
        events = parse([answer[:end]], TOOLS)
        found = calls(events)
        assert found in ([], [READ], [READ, LIST])
        if not found:
            assert text(events) == answer[:end] or answer[:end].startswith("<|start|>assistant<|ch")


@EACH
def test_a_tool_that_was_not_offered_is_no_call(answer: str) -> None:
    events = parse([answer], [_tool("other")])
    assert calls(events) == []
    assert text(events) == answer


@EACH
def test_what_stands_between_backticks_or_in_another_language_is_quoted(answer: str) -> None:
    line = answer.replace("\n", " ")
    if "`" not in answer:
        assert calls(parse([f"The model writes `{line}` here."], TOOLS)) == []
        assert calls(parse(list(f"The model writes `{line}` here."), TOOLS)) == []
    if "```" not in answer:
        quoted = f"Like this:\n```html\n{answer}\n```\nThat is all."
        for pieces in ([quoted], list(quoted)):
            events = parse(pieces, TOOLS)
            assert calls(events) == []
            assert text(events) == quoted


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("answer", "thoughts", "shown"),
    [
        (f"<|think|>Hm.<|end|>{BOTH['solar open']}", "Hm.", ""),
        ("<|think|>Hm.<|end|><|begin|>assistant<|content|>Hi<|end|>", "Hm.", "Hi"),
        (f"[BEGIN FINAL RESPONSE]\n{BOTH['hunyuan']}\n[END FINAL RESPONSE]\n<|end|>", "", ""),
    ],
)
def test_messages_of_solar_open_and_apriel(
    answer: str, thoughts: str, shown: str, size: int
) -> None:
    events = parse([answer[at : at + size] for at in range(0, len(answer), size)], TOOLS)
    assert calls(events) == ([] if shown else [READ, LIST])
    assert text(events).strip() == shown
    assert "".join(e.text for e in events if isinstance(e, ThoughtPart)) == thoughts


@pytest.mark.parametrize(
    "answer",
    [
        "Action: read_file\nThen I go on.\n",
        f"Action: unknown\nAction Input: {READ_ARGS}\n",
        f"```\nAction: read_file\nAction Input: {READ_ARGS}\n```",
        "Actions\nAct now\nAction:\n\nAction: none\n",
        "list_dir\nlists a folder.\n",
        'list_dir\n{"other": 1}\n',
        "<name>read_file</name> is an element.",
        "<tool_use><name>unknown</name><arguments>{}</arguments></tool_use>",
        "<tool_call>\n```",
    ],
)
def test_what_only_looks_like_a_call_is_text(answer: str) -> None:
    for pieces in ([answer], list(answer)):
        events = parse(pieces, TOOLS)
        assert calls(events) == []
        assert text(events) == answer


def test_wrapper_closes_a_function_that_the_model_left_open() -> None:
    answer = "<tool_call>\n<function=list_dir>\n<parameter=path>\n.\n</parameter>\n</tool_call>"
    assert calls(parse([answer], TOOLS)) == [LIST]


@pytest.mark.parametrize(
    "name",
    ["read_file<|channel|>commentary", "functions.read_file", "default_api:read_file", "READ_FILE",
     "read_file()", "functions.read_file:3", "read_file<|constrain|>json"],
)  # fmt: skip
def test_what_stands_around_a_name_is_no_part_of_it(name: str) -> None:
    assert ToolSchemas(TOOLS).resolve(name) == "read_file"


def test_value_in_a_tools_own_tag_may_hold_tags_and_line_ends() -> None:
    answer = "I will.\n\n<list_dir>\n<path>\n<a></path> b</list_dir>\nc\n</path>\n</list_dir>\nDone"
    events = parse(list(answer), TOOLS)
    assert calls(events) == [("list_dir", {"path": "<a></path> b</list_dir>\nc"})]
    assert text(events) == "I will.\n\n\nDone"


@pytest.mark.parametrize(
    "answer",
    [
        "The tag <list_dir><path>.</path></list_dir> within a line",
        "```xml\n<list_dir><path>.</path></list_dir>\n```",
        "```\n<list_dir><path>.</path></list_dir>\n```",
        "<list_dir>\n<folder>.</folder>\n</list_dir>",
        "<list_dir>\n</list_dir>",
        "<list_dir>\n<path>.</path>",
        "list_dir is the tool.\nlist_dir",
        'list_dir {"path": "."}',
        'list_dir{"path": ".',
        "read_file[0] and read_file[AR",
        "<details>\n<path>.</path>\n</details>",
    ],
)
def test_names_of_tools_in_text_are_no_calls(answer: str) -> None:
    events = parse(list(answer), TOOLS)
    assert (calls(events), text(events)) == ([], answer)


def test_line_that_can_be_no_name_is_passed_on_at_once() -> None:
    parser = ToolCallParser(TOOLS)
    shown = [text(parser.feed(piece)) for piece in ("re", "ad", "y\n", "<li", "st>")]
    assert shown == ["", "", "ready\n", "", "<list>"]


def test_case_decides_where_two_tools_differ_in_nothing_else() -> None:
    offered = ToolSchemas([_tool("run"), _tool("Run")])
    assert (offered.resolve("Run"), offered.resolve("run")) == ("Run", "run")
    assert offered.resolve("RUN") is None


@pytest.mark.parametrize(
    "answer",
    [
        # It may be cut off: nothing closes it.
        '<tool_call>{"name": "list_dir", "arguments": {"path": "."}',
        # The closing tag is part of the text.
        '<tool_call>{"name": "list_dir", "arguments": {"path": ".</tool_call>',
        # What stands beside the name is no parameter.
        '<tool_call>{"name": "list_dir", "description": "lists"}</tool_call>',
        '<tool_call>{"name": "list_dir", "arguments": {"path": "."]}</tool_call>',
    ],
)
def test_what_may_be_broken_off_or_is_another_thing_is_no_call(answer: str) -> None:
    events = parse([answer], TOOLS)
    assert (calls(events), text(events)) == ([], answer)


def test_every_format_of_the_table_is_tested() -> None:
    printed = "".join(BOTH.values())
    untested = {"<tools>", "<|tool_call|>", "[TOOL_CALLS]", "Action:```json", "<｜DSML｜ invoke"}
    namespaces = {"<atem:invoke", "<function="}
    rows = {row.opening for row in FORMATS} - untested - namespaces
    assert {opening for opening in rows if opening not in printed} == set()


VALUES = [
    "</tool_call>",
    "</parameter>",
    "</invoke> x",
    "a </arg_value> b",
    "</function>\ny",
    "{[(",
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    "form",
    [
        "<tool_call>list_dir\n<arg_key>path</arg_key>\n<arg_value>{}</arg_value>\n</tool_call>",
        '<invoke name="list_dir"><parameter name="path">{}</parameter></invoke>',
        '<minimax:tool_call><invoke name="list_dir"><parameter name="path">{}</parameter>\n'
        "</invoke></minimax:tool_call>",
        '<｜DSML｜tool_calls><｜DSML｜invoke name="list_dir"><｜DSML｜parameter name="path" '
        'string="true">{}</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>',
        '<|tool_call>call:list_dir{{path:<|"|>{}<|"|>}}<tool_call|>',
        '<|tool_call_start|>[list_dir(path="""{}""")]<|tool_call_end|>',
        "<seed:tool_call><function=list_dir><parameter=path>\n{}\n</parameter>\n</function>"
        "</seed:tool_call>",
        f"{MARK}<tool_call>{MARK}<invoke name='list_dir'>{MARK}<path>{{}}{MARK}</path>"
        f"{MARK}</invoke>{MARK}</tool_call>",
        '<|open|>call tool="list_dir" index="1"<|sep|><|open|>argument key="path" type="string"'
        "<|sep|>{}<|close|>argument<|sep|><|close|>call<|sep|>",
    ],
)
def test_a_value_may_hold_what_closes_a_call(form: str, value: str) -> None:
    answer = form.format(value)
    for pieces in ([answer], list(answer)):
        events = parse(pieces, TOOLS)
        assert calls(events) == [("list_dir", {"path": value})]
        assert text(events) == ""


@pytest.mark.parametrize(
    "form",
    [
        '<function_calls><invoke name="list_dir"><parameter name="path">{}</parameter>\n'
        "</invoke></function_calls>",
        '<minimax:tool_call><invoke name="list_dir"><parameter name="path">{}</parameter>\n'
        "</invoke>\n</minimax:tool_call>",
        "<tool_call><function=list_dir><parameter=path>\n{}\n</parameter>\n</function></tool_call>",
    ],
)
@pytest.mark.parametrize("value", ["see </parameter></invoke> x", "a</parameter>\n</function> b"])
def test_in_a_wrapper_a_value_may_hold_the_end_of_a_whole_call(form: str, value: str) -> None:
    answer = form.format(value)
    for pieces in ([answer], list(answer)):
        events = parse(pieces, TOOLS)
        assert calls(events) == [("list_dir", {"path": value})]
        assert text(events) == ""


@pytest.mark.parametrize("wrapper", ["<function_calls>", "<minimax:tool_call>"])
def test_a_wrapper_that_is_not_closed_ends_with_its_call(wrapper: str) -> None:
    answer = f"{wrapper}{invokes()}Done. {wrapper}{invokes()}</{wrapper[1:]}"
    for pieces in ([answer], list(answer)):
        events = parse(pieces, TOOLS)
        assert calls(events) == [READ, LIST] * 2
        assert text(events).strip() == "Done."


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        ("[edit(all=True, limit=None, edits=['a', 'b'])]", ("all", "limit", "edits")),
        ('[edit(all=true, limit=null, edits=["a", "b"])]', ("all", "limit", "edits")),
        (
            "<tool_call>{'name': 'edit', 'arguments': {'all': True, 'limit': None, "
            "'edits': ['a', 'b']}}</tool_call>",
            ("all", "limit", "edits"),
        ),
        (
            '<invoke name="edit"><parameter name="all">True</parameter><parameter name="limit">'
            "None</parameter><parameter name=\"edits\">['a', 'b']</parameter></invoke>",
            ("all", "limit", "edits"),
        ),
        (
            "<tool_call>edit<arg_key>all</arg_key><arg_value>true</arg_value><arg_key>limit"
            "</arg_key><arg_value>null</arg_value><arg_key>edits</arg_key><arg_value>"
            '["a", "b"]</arg_value></tool_call>',
            ("all", "limit", "edits"),
        ),
        (
            '<|tool_call>call:edit{all:true,limit:null,edits:[<|"|>a<|"|>,<|"|>b<|"|>]}<tool_call|>',
            ("all", "limit", "edits"),
        ),
        (
            m3("edit", element("all", "true") + element("limit", "null")) + "x"[:0] + "",
            ("all", "limit"),
        ),
        (
            m3("edit", element("edits", element("item", "a") + element("item", "b"))),
            ("edits",),
        ),
    ],
)
def test_values_are_of_the_parameters_types(answer: str, values: tuple[str, ...]) -> None:
    wanted = {"all": True, "limit": None, "edits": ["a", "b"]}
    assert calls(parse([answer], TOOLS)) == [("edit", {key: wanted[key] for key in values})]


@pytest.mark.parametrize(
    ("label", "limit"), [("5", "7"), ("null", "7"), ("True", "7"), ("[1]", "7"), ('"q"', "7")]
)
def test_an_optional_parameter_is_of_its_own_type(label: str, limit: str) -> None:
    answer = (
        f'<invoke name="edit"><parameter name="label">{label}</parameter>'
        f'<parameter name="limit">{limit}</parameter></invoke>'
    )
    assert calls(parse([answer], TOOLS)) == [("edit", {"label": label, "limit": 7})]


def test_nested_values_keep_their_form() -> None:
    options = {"a": {"b": [1, {"c": "x, y}"}]}, "d": True}
    gemma = '<|tool_call>call:edit{options:{a:{b:[1,{c:<|"|>x, y}<|"|>}]},d:true}}<tool_call|>'
    python = "<|python_tag|>edit(options={'a': {'b': [1, {'c': 'x, y}'}]}, 'd': True})"
    for answer in (gemma, python):
        assert calls(parse(list(answer), TOOLS)) == [("edit", {"options": options})]


NOT_CALLS = [
    '<invoke name="read_file"><parameter name="path">a.py</parameter>',
    '<invoke name="read_file"><parameter name="path">a.py</invoke>',
    '<invoke name="read_file"><parameter path>a.py</parameter></invoke>',
    '<invoke name="read_file">a.py</invoke>',
    '<invoke name="rm"><parameter name="path">a.py</parameter></invoke>',
    "<tool_call>read_file\n<arg_key>path</arg_key>\n<arg_value>a.py</arg_value>",
    "<tool_call>read_file\n<arg_key>path</arg_key>\n</tool_call>",
    "<seed:tool_call><function=read_file><parameter=path</function></seed:tool_call>",
    "<function=read_file>",
    '<|tool_call>call:read_file{path:<|"|>a.py<|"|>',
    '<|tool_call>call:read_file{path:<|"|>a.py}<tool_call|>',
    '<|tool_call>call:read_file{<|"|>a.py<|"|>}<tool_call|>',
    '<|tool_call_start|>[read_file(path="a.py"<|tool_call_end|>',
    '<|tool_call_start|>[read_file("a.py")]<|tool_call_end|>',
    "<|tool_call_start|>[read_file(path=open('x'))]<|tool_call_end|>",
    '<|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>{"path": "a.p',
    "<|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>a.py<|tool_call_end|>",
    '<TOOLCALL>[{"name": "read_file", "arguments": {"path": "a.py"}}',
    "<TOOLCALL>[]</TOOLCALL>",
    '<|tools_prefix|>[{"read_file": "a.py"}]<|tools_suffix|>',
    '<|open|>call tool="read_file" index="1"<|sep|><|open|>argument '
    'key="path" type="string"<|sep|>a',
    f"{MARK}<invoke name='read_file'>{MARK}<path>a.py{MARK}</invoke>",
    f"{MARK}<invoke name='read_file'>a.py{MARK}</invoke>",
    "So the function call:read_file{path:3} is nothing.",
    "We use functools[partial] and functools.cache.",
    "The word to=functions.read_file is said.",
    "Write <|channel|>final<|message|> before it, and <|end|> behind it.",
    f"It writes commentary to=functions.list_dir json{LIST_ARGS} then.",
    'commentary to=functions.list_dir json{"pa',
    f"commentary to=functions.unknown json{LIST_ARGS}",
    f"commentary to=functions.list_dir: {LIST_ARGS}",
    "analysisResults = load()",
    "It ends with `<|content_invoke_tool_json|>" + LIST_JSON + "<|end_message|>`.",
    "<|content_invoke_tool_json|>{}<|end_message|> is how it calls.",
    PLAMO[0].format("tool_requests") + "none" + PLAMO[1].format("tool_requests"),
    plamo_call("unknown", LIST_ARGS),
    plamo_call("list_dir", "[]"),
    "analysis: it is done.assistantfinal",
    "analysisDone, with no other message",
    "Say <|START_THINKING|>no<|END_THINKING|> in prose.",
    "```tool_code\nimport os\nprint(os)\n```",
    "```bash\n<tool_call>" + LIST_JSON + "</tool_call>\n```",
    "It prints `<tool_call>" + LIST_JSON + "</tool_call>`, then stops.",
]


@pytest.mark.parametrize("answer", NOT_CALLS)
def test_what_is_incomplete_or_quoted_comes_out_as_it_went_in(answer: str) -> None:
    for pieces in ([answer], list(answer)):
        events = parse(pieces, TOOLS)
        assert calls(events) == []
        assert text(events) == answer


MESSAGES: list[tuple[str, str, str, list[Any]]] = [
    (
        "<|channel|>analysis<|message|>I look.<|end|><|start|>assistant<|channel|>final<|message|>"
        "Done.<|return|>",
        "I look.",
        "Done.",
        [],
    ),
    (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>"
        "I read it.<|end|><|start|>assistant<|channel|>commentary to=functions.list_dir "
        f"<|constrain|>json<|message|>{LIST_ARGS}<|call|>",
        "Hm.",
        "I read it.",
        [LIST],
    ),
    (
        f"<|channel|>analysis<|message|>I could <tool_call>{LIST_JSON}</tool_call>.<|start|>"
        "assistant<|channel|>final<|message|>No.",
        f"I could <tool_call>{LIST_JSON}</tool_call>.",
        "No.",
        [],
    ),
    (
        "<|message_model|><|content_thinking|>Hm.<|end_message|><|message_model|><|content_text|>"
        'Yes.<|end_message|><|message_model|><|content_invoke_tool_json|>{"name":"list_dir",'
        f'"args":{LIST_ARGS}}}<|end_message|>',
        "Hm.",
        "Yes.",
        [LIST],
    ),
    (
        "<|plamo:begin_think:plamo|>Hm.<|plamo:end_think:plamo|>"
        + PLAMO[0].format("tool_requests")
        + plamo_call("list_dir", LIST_ARGS)
        + PLAMO[1].format("tool_requests"),
        "Hm.",
        "",
        [LIST],
    ),
    # What a server that strips special tokens leaves of Harmony. The first one is from
    # https://github.com/oobabooga/textgen/issues/7374, the name with its type from
    # https://github.com/ggml-org/llama.cpp/pull/15158.
    (
        'analysisUser says "Hello World!" Probably greeting. Should respond politely.'
        "assistantfinalHello! 👋 How can I help you today?",
        'User says "Hello World!" Probably greeting. Should respond politely.',
        "Hello! 👋 How can I help you today?",
        [],
    ),
    (f"commentary to=functions.list_dirjson{LIST_ARGS}", "", "", [LIST]),
    (
        f"analysisI list.assistantcommentary to=functions.list_dir json{LIST_ARGS}",
        "I list.",
        "",
        [LIST],
    ),
    ("analysisI plan.assistantcommentaryI read it.", "I plan.", "I read it.", []),
    (
        f"analysisI could <tool_call>{LIST_JSON}</tool_call>.assistantfinalNo.",
        f"I could <tool_call>{LIST_JSON}</tool_call>.",
        "No.",
        [],
    ),
    (
        "<|START_THINKING|>I plan.<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>",
        "I plan.",
        "Yes.",
        [],
    ),
    (
        f"<|START_THINKING|>I plan.<|END_THINKING|><|START_ACTION|>[{LIST_JSON}]<|END_ACTION|>",
        "I plan.",
        "",
        [LIST],
    ),
    (
        '<|channel>thought\nHm.<channel|><|tool_call>call:list_dir{path:<|"|>.<|"|>}<tool_call|>',
        "Hm.",
        "",
        [LIST],
    ),
    (
        "<|open|>think<|sep|>Hm.<|close|>think<|sep|><|open|>response<|sep|>Yes.<|close|>response"
        "<|sep|>"
        + K3[0].format("tools")
        + k3_call("list_dir", ("path", "string", "."))
        + K3[1].format("tools"),
        "Hm.",
        "Yes.",
        [LIST],
    ),
]


@pytest.mark.parametrize(("answer", "thought", "shown", "found"), MESSAGES)
def test_reasoning_is_no_answer_and_no_header_is_shown(
    answer: str, thought: str, shown: str, found: list[Any]
) -> None:
    for pieces in ([answer], list(answer)):
        events = parse(pieces, TOOLS)
        assert "".join(e.text for e in events if isinstance(e, ThoughtPart)) == thought
        assert text(events) == shown
        assert calls(events) == found


def test_reasoning_is_passed_on_while_it_is_written() -> None:
    parser = ToolCallParser(TOOLS)
    assert parser.feed("<|channel|>analysis<|message|>I think of ") == [ThoughtPart("I think of ")]
    assert parser.feed("it") == [ThoughtPart("it")]


def test_a_tool_without_parameters_is_called_in_every_form() -> None:
    for answer in (
        "<tool_call>get_time</tool_call>",
        '<invoke name="get_time"></invoke>',
        "<|tool_call>call:get_time{}<tool_call|>",
        "[get_time()]",
        "<function=get_time></function>",
        '<|tools_prefix|>[{"get_time": {}}]<|tools_suffix|>',
    ):
        assert calls(parse(list(answer), TOOLS)) == [("get_time", {})]


@pytest.mark.parametrize(
    "answer",
    [
        '<invoke name="list_dir"><parameter name="path">' + "</parameter> x" * 4_000,
        "<tool_call>list_dir<arg_key>path</arg_key><arg_value>" + "</arg_value>x" * 4_000,
        '<|tool_call>call:list_dir{path:<|"|>' + "{" * 20_000,
        f"{MARK}<invoke name='list_dir'>" + f"{MARK}<a>" * 4_000,
        "`" + "<tool_call>" * 4_000,
        "<|channel|>" * 4_000,
        "<|channel|>analysis<|message|>" + "<|" * 10_000,
        "<tool_calls>" * 4_000,
        '[list_dir(path="""' + '""' * 10_000,
        "```html\n" + "<tool_call>" * 4_000,
    ],
)
def test_long_answers_take_linear_time_in_every_format(answer: str) -> None:
    start = time.process_time()
    parse([answer[i : i + 8] for i in range(0, len(answer), 8)], TOOLS)
    assert time.process_time() - start < 20


def test_any_number_of_calls_may_be_joined() -> None:
    answer = "; ".join([READ_JSON, LIST_JSON] * 2)
    for joined in (answer, f"<|python_tag|>{answer}", f"[TOOL_CALLS]{answer}"):
        assert calls(parse([joined], TOOLS)) == [READ, LIST] * 2


def test_a_name_that_is_no_python_name_is_called_in_python() -> None:
    answer = '<|tool_call_start|>[get-info(query="a\nb")]<|tool_call_end|>'
    assert calls(parse([answer], TOOLS)) == [("get-info", {"query": "a\nb"})]


def test_the_answer_of_a_whole_text_has_no_reasoning_in_it() -> None:
    shown, found = parse_answer(MESSAGES[1][0], TOOLS)
    assert (shown, [call.name for call in found]) == ("I read it.", ["list_dir"])
