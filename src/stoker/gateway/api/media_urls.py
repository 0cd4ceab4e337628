"""The URLs of images, sound, videos and files in a request: an engine would fetch them. Pure.

An engine that fetches what a client names can be sent to other machines of its network, or to
files of its own. Every API is read in the client's own form, because some backends get it so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from stoker.gateway.api import body_values
from stoker.gateway.api.request_validation import BadRequestError
from stoker.tokens.request_form import WrittenPart

#: Where conversations are, in every API.
_CONVERSATIONS = ("messages", "input", "system", "prompt")
#: Fields in which a request may name servers to connect to.
_NAMING_SERVERS = frozenset({"tools", "mcp_servers", "kv_transfer_params"})
#: Fields whose text is text alone. Their parts are looked at.
_TEXTS = frozenset({"content", "output", "role", "type", *_CONVERSATIONS})
#: Fields in which nothing is fetched, whatever addresses they hold.
_WORDS = frozenset(
    {
        *("annotations", "arguments", "citations", "context", "encrypted_content", "filename"),
        *("function_call", "input", "name", "reasoning", "reasoning_content", "refusal"),
        *("signature", "summary", "text", "thinking", "title", "tool_calls"),
    }
)
#: Types of parts and items of that kind: calls, and what a search found.
_WORDS_ALONE = re.compile(r"search_result|(server_)?tool_use|.+_(call|tool_result)")
#: Results of tools that may be a JSON object, which is text to the model.
_RESULTS = frozenset({"function_call_output", "custom_tool_call_output", "local_shell_call_output"})
#: An address, with what parsers of URLs skip before it. Base64 has no colon.
_ADDRESS = re.compile(r"[\x00-\x20]*([a-z][a-z0-9+.-]*://|file:)", re.IGNORECASE)
#: Lists and objects of a message that is looked through to be remembered.
_MOST_PARTS = 5_000
#: Nothing that two parsers could read in two ways: no login, no backslash, no blank.
_PLAIN_URL = re.compile(r"https?://([a-z0-9.-]+)(?::\d+)?(?:[/?][^\s\\]*)?", re.IGNORECASE)


class MediaHosts:
    """The hosts from which engines may fetch, as patterns such as ``*.example.com``."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = tuple(pattern.lower() for pattern in patterns)

    def check(self, request: Mapping[str, Any], known_messages: int = 0) -> None:
        """Raise ``BadRequestError`` where a conversation has another URL than a data URL.

        ``request`` is in the client's own API. Its first ``known_messages`` name no address.
        """
        for name in _CONVERSATIONS:
            if name not in request:
                continue
            known = known_messages if name == "messages" else 0
            for where, url in _references(request[name], name, known):
                if not self._allow(url):
                    raise _refused(where)

    def _allow(self, url: str) -> bool:
        found = _PLAIN_URL.fullmatch(url)
        host = found[1].lower() if found else ""
        return bool(host) and any(fnmatchcase(host, pattern) for pattern in self.patterns)


def names_no_address(message: WrittenPart) -> bool:
    """Whether there is nothing in a message that a server would fetch, whatever is allowed.

    One of very many values is not looked through.
    """
    few = body_values.most_containers(message.json) < _MOST_PARTS
    return few and not any(_references(message, "messages"))


def refuse_servers(request: Mapping[str, Any]) -> None:
    """Raise ``BadRequestError`` where the model's server would connect to another server.

    ``request`` is as the client sent it, in any API: the normal form of a chat leaves out tools
    that are no functions.
    """
    if _NAMING_SERVERS.isdisjoint(request):
        return
    server = next(_named_servers(request), None)
    if server is not None:
        raise _refused_server(server)


def _named_servers(request: Mapping[str, Any]) -> Iterator[str]:
    """The fields by which a request would have the model's server connect to another one.

    Those of MCP, at which some servers call tools. And the half of a divided vLLM that holds the
    prompt's cache: its router names it, and no client.
    """
    tools = request.get("tools")
    for at, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, dict) and tool.get("server_url"):
            yield f"tools[{at}].server_url"
    if request.get("mcp_servers"):
        yield "mcp_servers"
    transfer = request.get("kv_transfer_params")
    if isinstance(transfer, dict) and any(name.startswith("remote_") for name in transfer):
        yield "kv_transfer_params"


def _references(value: Any, where: str, first: int = 0) -> Iterator[tuple[str, str]]:
    """What a server would fetch of ``value``, of a list from ``first`` on, each with its place."""
    if isinstance(value, list):
        name = where.rpartition(".")[2].partition("[")[0]
        for at, item in enumerate(value[first:], first):
            if isinstance(item, dict | list):
                yield from _references(item, f"{where}[{at}]")
            elif isinstance(item, str) and name not in _TEXTS and _is_reference(name, item):
                yield f"{where}[{at}]", item
    elif isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str):
                if name not in _TEXTS and _is_reference(name, inner) and _counts(name, value):
                    yield f"{where}.{name}", inner
            elif isinstance(inner, dict | list) and _counts(name, value):
                yield from _references(inner, f"{where}.{name}")


def _is_reference(name: str, text: str) -> bool:
    if text[:5].lower() == "data:":
        return False
    return name == "url" or name.endswith("_url") or _ADDRESS.match(text) is not None


def _counts(name: str, part: Mapping[str, Any]) -> bool:
    """Whether a server may fetch what this field of a part holds.

    Some go by the name of a field such as ``image_url``, whatever the type of its part.
    """
    kind = str(part.get("type"))
    if name.endswith("_url"):
        return True
    if name in _WORDS or _WORDS_ALONE.fullmatch(kind):
        return False
    is_json = name == "output" and kind in _RESULTS and isinstance(part[name], dict)
    return not is_json and (name, kind) != ("data", "text")  # a document's text


def _refused(where: str) -> BadRequestError:
    return BadRequestError(
        f"{where} is an address, which the model's server would have to fetch. Send the content "
        "itself as a data URL, such as data:image/png;base64,..., or run `stoker gateway` with the "
        "host in `allowed_media_hosts` of its configuration.",
        code="media_url_not_allowed",
        param=where,
    )


def _refused_server(where: str) -> BadRequestError:
    return BadRequestError(
        f"{where} names a server that the model's server would have to connect to. Leave it out; "
        "tools of MCP are called by the client, which offers them as functions.",
        code="server_address_not_allowed",
        param=where,
    )
