#!/bin/sh
# Responses API: streamed thoughts have one name at OpenAI and another in Open Responses.
#
# Software: openai 3.57.0 and openresponses-types 2.4.0 (both from PyPI), pydantic 2.14.4.
#
# Behaviour: both call the part of an answer that holds raw thoughts `reasoning_text`. The events that
# stream it differ: OpenAI's types know `response.reasoning_text.delta` and `.done`, Open Responses
# `response.reasoning.delta` and `.done`, and each refuses the other's, though text has one name in
# both. So no server can stream thoughts in a form that is valid for both.
#
# Seen:
#   response.output_text.delta: OpenAI accepts, Open Responses accepts
#   response.reasoning_text.delta: OpenAI accepts, Open Responses refuses
#   response.reasoning.delta: OpenAI refuses, Open Responses accepts
#   reasoning_text as a part: OpenAI accepts, Open Responses accepts
#
# Exits 0 if all of this still holds, 1 if it changed, 2 if it could not be tried.
# Takes a few seconds after the download. Needs Python 3.10 or newer with pip.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' HUP INT TERM
python3 -m pip install -qq --target "$folder/lib" \
  openai==3.57.0 openresponses-types==2.4.0 pydantic==2.14.4 || exit 2
cat > "$folder/try.py" <<'PYTHON'
import sys
from typing import get_args

from openai.types.responses import ResponseStreamEvent
from openai.types.responses.response_reasoning_item import Content
from openresponses_types import types
from pydantic import BaseModel, TypeAdapter, ValidationError

PLACE = {"sequence_number": 1, "item_id": "rs_1", "output_index": 0, "content_index": 0}


def accepts(form, value):
    try:
        TypeAdapter(form).validate_python(value)
    except ValidationError:
        return False
    return True


def open_event(event):
    """Whether any streaming event of Open Responses has this form."""
    forms = [
        form
        for name, form in vars(types).items()
        if name.endswith("StreamingEvent") and issubclass(form, BaseModel)
    ]
    return any(accepts(form, event) for form in forms)


def verdict(name, openai, open_responses):
    words = {True: "accepts", False: "refuses"}
    line = f"{name}: OpenAI {words[openai]}, Open Responses {words[open_responses]}"
    print(line)
    return line


def main():
    seen = []
    for kind in ("output_text", "reasoning_text", "reasoning"):
        event = {"type": f"response.{kind}.delta", "delta": "Hm", "logprobs": [], **PLACE}
        seen.append(
            verdict(event["type"], accepts(ResponseStreamEvent, event), open_event(event))
        )
    part = {"type": "reasoning_text", "text": "Hm"}
    seen.append(
        verdict(
            "reasoning_text as a part",
            accepts(Content, part),
            accepts(types.ReasoningTextContent, part),
        )
    )
    expected = [
        "response.output_text.delta: OpenAI accepts, Open Responses accepts",
        "response.reasoning_text.delta: OpenAI accepts, Open Responses refuses",
        "response.reasoning.delta: OpenAI refuses, Open Responses accepts",
        "reasoning_text as a part: OpenAI accepts, Open Responses accepts",
    ]
    print("as described" if seen == expected else "CHANGED")
    return 0 if seen == expected else 1


sys.exit(main())
PYTHON
PYTHONPATH="$folder/lib" python3 "$folder/try.py" 2> "$folder/log" || {
  code=$?
  grep -A 20 Traceback "$folder/log" || exit "$code"
  exit 2
}
