"""Fields of a request that a server refuses, and that its answer is the same without. Pure.

Servers differ in the fields that they know, and many refuse what they do not know, also what only
sets how an answer is reported or stored. Their words name it: FastAPI's ``loc``, OpenAI's
``param``, or a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import orjson

#: Where a field stands: ``("tools", "*", "function", "strict")``.
Path = tuple[str, ...]

#: What is reported, stored, billed or cached, and how. A server that does not know
#: ``parallel_tool_calls`` answers as it always does.
_TOP = (
    "stream_options",
    "parallel_tool_calls",
    "store",
    "metadata",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
)
#: How much to think and to write. A server that does not know them thinks and writes as it always
#: does; one that knows them and refuses the value is right to.
_HINTS = ("reasoning_effort", "reasoning", "thinking", "verbosity")
#: What clients repeat of earlier answers. A server that refuses an earlier thought has no template
#: that prints it.
_MESSAGE = (
    "refusal",
    "annotations",
    "audio",
    "function_call",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "name",
)
_OPTIONAL: frozenset[Path] = frozenset(
    {
        *((name,) for name in (*_TOP, *_HINTS)),
        *(("messages", "*", name) for name in _MESSAGE),
        ("messages", "*", "tool_calls", "*", "index"),
        ("messages", "*", "content", "*", "cache_control"),
        ("system", "*", "cache_control"),
        ("tools", "*", "cache_control"),
        ("tools", "*", "strict"),
        ("tools", "*", "function", "strict"),
    }
)
#: With these values, fields ask for what every server does without them.
_DEFAULTS: Mapping[str, Any] = {
    "n": 1,
    "best_of": 1,
    "echo": False,
    "logprobs": False,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "stop": [],
    "tools": [],
    "tool_choice": "auto",
    "response_format": {"type": "text"},
    "modalities": ["text"],
}
#: One limit has two names (https://platform.openai.com/docs/api-reference/chat/create): servers
#: know the older, the newer or both.
_OTHER_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

_UNKNOWN = re.compile(
    r"unknown|unsupported|not supported|unrecogni[sz]ed|not recogni[sz]ed|unexpected|extra|"
    r"not permitted|not allowed|forbidden|additional propert|does not support",
    re.IGNORECASE,
)
#: A field is known where its value is refused.
_VALUE = re.compile(r"\b(?:unsupported|invalid) value|\bvalue\b.* not supported", re.IGNORECASE)
#: Behind these words serde lists the fields that a server does know.
_KNOWN_FIELDS = re.compile(r"expected (?:one of )?`.*")
#: What a refusal repeats of the request.
_REPEATED = frozenset({"input", "body", "request"})


def named_in(refusal: bytes, request: Mapping[str, Any]) -> frozenset[Path]:
    """The fields of ``request`` that the refusal names and that can be left out or renamed."""
    words = _KNOWN_FIELDS.sub("", "\n".join(_words(refusal)))
    is_unknown = _UNKNOWN.search(words) is not None
    of_value = not is_unknown or _VALUE.search(words) is not None
    found = {
        path
        for path in _removable(request)
        if _names(words, path[-1], is_unknown) and not (of_value and path[0] in _HINTS)
    }
    for name, other in _OTHER_NAMES.items():
        if is_unknown and name in request and other not in request and _names(words, name, True):
            found.add((name,))
    return frozenset(found)


def without(request: Mapping[str, Any], paths: Collection[Path]) -> Mapping[str, Any]:
    """The request without these fields, where its own values of them change nothing."""
    for path in paths:
        request = _without(request, path, path)
    return request


def _without(value: Any, rest: Path, path: Path) -> Any:
    name, *deeper = rest
    if name == "*":
        return (
            [_without(item, tuple(deeper), path) for item in value]
            if isinstance(value, list)
            else value
        )
    if not isinstance(value, dict) or name not in value:
        return value
    if deeper:
        return {**value, name: _without(value[name], tuple(deeper), path)}
    other = _OTHER_NAMES.get(name) if len(path) == 1 else None
    if other is not None:
        kept = {key: item for key, item in value.items() if key != name}
        return {other: value[name], **kept}
    if not _changes_nothing(path, value[name]):
        return value
    return {key: item for key, item in value.items() if key != name}


def _changes_nothing(path: Path, value: Any) -> bool:
    if path in _OPTIONAL:
        return True
    name = path[-1]
    if value is None:
        return name != "content"
    return len(path) == 1 and name in _DEFAULTS and value == _DEFAULTS[name]


def _removable(request: Mapping[str, Any]) -> Iterator[Path]:
    yield from ((name,) for name, value in request.items() if _changes_nothing((name,), value))
    for path in _OPTIONAL:
        if len(path) > 1 and without(request, [path]) != request:
            yield path


def _names(words: str, name: str, is_unknown: bool) -> bool:
    """Whether the words name a field. An English word, such as ``user``, must stand as a name."""
    if "_" in name:
        form = rf"(?<![\w-]){name}(?![\w-])"
    elif is_unknown:
        quoted = rf"[\"'`.\[/]{name}(?![\w-]|\.\w)|\b(?:field|parameter|property|argument) {name}\b"
        listed = rf": (?:\w+, )*{name}(?=(?:, \w+)*\W*$)"
        refused = rf"^{name} is (?:not (?:supported|recogni[sz]ed)|unsupported|unknown)"
        form = rf"{quoted}|^{name}(?=\s*(?::|$))|{listed}|{refused}"
    else:
        form = rf"^(?:body\.)?{name}$"
    return re.search(form, words, re.MULTILINE) is not None


def _words(refusal: bytes) -> Iterator[str]:
    try:
        value = orjson.loads(refusal)
    except orjson.JSONDecodeError:
        yield refusal.decode("utf-8", errors="replace")
        return
    yield from _texts(value)


def _texts(value: Any) -> Iterator[str]:
    """The texts of a refusal, each on a line; a path given as a list is one dotted text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in _REPEATED:
                yield from _texts(item)
    elif isinstance(value, list):
        if value and all(isinstance(item, str | int) for item in value):
            yield ".".join(map(str, value))
        else:
            for item in value:
                yield from _texts(item)
