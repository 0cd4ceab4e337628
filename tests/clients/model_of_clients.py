"""The model that the clients talk to: it does the agents' task and answers the SDKs' questions.

As ``ScriptedModel`` it keeps no memory and knows only what a request holds: it can write the line
that an agent's task asks for only if the agent has sent the file with the task.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.support.scripted_model import Answer, Conversation, ScriptedModel, Step, calls_of

Body = dict[str, Any]

#: What the task's file says. Agents are asked to read it first.
TASK = "Write the line '{line}' into hello.txt."
ASK = "Read task.txt and do it: create hello.txt."
DONE = "Done: hello.txt holds the line."
HELLO = "Hello from a scripted model, in more than one chunk."
#: How it begins the answer after a tool's result.
SAID = "The tool said: "

_LINE = re.compile(r"Write the line '([^']+)' into hello\.txt")
#: The folder, which the first call's result has on a line of its own.
_FOLDER = re.compile(r"^\W*(/[^\s<>]+)\s*$", re.MULTILINE)
#: aider offers no tools: it asks for files in this form.
_WHOLE_FILES = "*file listing*"
#: dspy wants its answers between marks.
_MARKS = "[[ ## answer ## ]]"


def _shell(command: str) -> Step:
    arguments = {"command": command, "cmd": command, "description": "Work on the task"}
    return Step(dict.fromkeys(("Bash", "bash", "exec_command"), lambda _: arguments))


def _write(line: str) -> Step:
    text = f"{line}\n"
    by_shell = f"printf '%s\\n' '{line}' > hello.txt"
    return Step(
        {
            "Write": lambda at: {"file_path": f"{at}/hello.txt", "content": text},
            "create": lambda at: {"path": f"{at}/hello.txt", "file_text": text},
            "write": lambda at: {"filePath": f"{at}/hello.txt", "content": text},
            **_shell(by_shell).ways,
        }
    )


class ModelOfClients(ScriptedModel):
    """Serves the model."""

    def answer(self, kind: str, body: Body) -> Answer:
        conversation = Conversation.of(body)
        if kind not in ("agent", "other"):
            return super().answer(kind, body)
        if _WHOLE_FILES in conversation.everything:
            return _whole_file(conversation)
        if "hello.txt" in conversation.everything and conversation.tools:
            return _next_step(conversation, list(calls_of(body["messages"])))
        return _to_sdk(conversation)


def _whole_file(conversation: Conversation) -> Answer:
    line = _LINE.search(conversation.everything)
    if line is None:
        return Answer(missed="the task's file")
    return Answer(f"{DONE}\n\nhello.txt\n```\n{line[1]}\n```\n")


def _next_step(conversation: Conversation, calls: list[Any]) -> Answer:
    """Read the task, write the file, look at it, say so."""
    results = "\n".join(call.result for call in calls)
    line, folder = _LINE.search(results), _FOLDER.search(results)
    if calls and (line is None or folder is None):
        return Answer("I can't go on.", missed="the task's file")
    steps = [_shell("pwd; cat task.txt")]
    if line:
        steps += [_write(line[1]), _shell("cat hello.txt")]
    if len(calls) >= 3:
        there = line is not None and line[1] in calls[-1].result
        return Answer(DONE) if there else Answer("I can't go on.", missed="the file's text")
    step = steps[len(calls)]
    call = step.call(conversation.tools, folder[1] if folder else "")
    if call is None:
        return Answer("I can't go on.", missed=f"the tool {step.names()}")
    return Answer("I look at the task first." if not calls else "", call=call)


def _to_sdk(conversation: Conversation) -> Answer:
    if conversation.calls:
        return Answer(SAID + conversation.calls[-1].result)
    if conversation.tools:
        return Answer(call=(next(iter(conversation.tools)), _arguments(conversation)))
    if _MARKS in conversation.everything:
        return Answer(f"{_MARKS}\n{HELLO}\n\n[[ ## completed ## ]]")
    return Answer(HELLO)


def _arguments(conversation: Conversation) -> Mapping[str, Any]:
    return {"city": "Paris" if "Paris" in conversation.asked else HELLO}
