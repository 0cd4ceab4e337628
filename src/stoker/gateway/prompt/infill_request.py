"""Requests to complete between two texts, in the two forms that clients send. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker import tokens

#: The texts of llama.cpp's form, and what both forms may have beside them.
_INFILL_TEXTS = ("input_prefix", "input_suffix", "prompt")
_BESIDE = ("input_extra", "input_filename", "input_repository")
#: The beginning of the answer, which stands before the cursor already: what a person has typed
#: since the two texts were sent first, so that an engine need not read those again.
_MIDDLE = "input_middle"
#: What llama.cpp writes where a repository or a file has no name.
_REPOSITORY, _NAME = "myproject", "filename"


@dataclass(frozen=True, slots=True)
class FillRequest:
    """What is to be completed."""

    prefix: str
    suffix: str
    #: Other files, by name and text; those that matter most come last.
    extras: tuple[tuple[str, str], ...] = ()
    #: The names of the file at hand and of its repository; empty where they are not given.
    name: str = ""
    repository: str = ""
    #: The beginning of the answer, between the two texts.
    middle: str = ""

    @property
    def names_files(self) -> bool:
        """Whether files are named in the prompt."""
        return bool(self.extras or self.name)

    @property
    def shown_name(self) -> str:
        """What the file at hand is called in a prompt."""
        return self.name or _NAME

    @property
    def shown_repository(self) -> str:
        """What the repository is called in a prompt."""
        return self.repository or _REPOSITORY


def of_infill(request: Mapping[str, Any]) -> FillRequest | None:
    """What a request in llama.cpp's form asks for; ``None`` where it has the wrong shape."""
    if not _has_texts(request, (*_INFILL_TEXTS, *_BESIDE[1:])) or not _has_files(request):
        return None
    prefix = (request.get("input_prefix") or "") + (request.get("prompt") or "")
    return _fill(request, prefix, request.get("input_suffix") or "")


def of_completion(request: Mapping[str, Any]) -> FillRequest | None:
    """What a completion with ``suffix`` asks for; ``None`` where it has the wrong shape."""
    names = ("prompt", "suffix", *_BESIDE[1:], _MIDDLE)
    if not _has_texts(request, names) or not _has_files(request):
        return None
    middle = request.get(_MIDDLE) or ""
    return _fill(request, request.get("prompt") or "", request["suffix"], middle)


def fills_in(request: Mapping[str, Any]) -> bool:
    """Whether a completion has a text after the cursor, be it an empty one: a file may end there.

    Other files beside it show that a client means this, and not a plain completion.
    """
    suffix = request.get("suffix")
    return suffix is not None and (suffix != "" or any(name in request for name in _BESIDE))


def without_texts(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request without what a written prompt has taken over."""
    taken = (*_INFILL_TEXTS, *_BESIDE, _MIDDLE, "suffix")
    return {name: value for name, value in request.items() if name not in taken}


def asked_tokens(request: Mapping[str, Any]) -> int | None:
    """How many tokens the answer has at most, by either form's field."""
    asked = request.get("n_predict")
    own = asked if isinstance(asked, int) and asked > 0 else None
    return own or tokens.asked_max_tokens(request)


def are_files(extras: Any) -> bool:
    """Whether these are other files."""
    return isinstance(extras, list) and all(
        isinstance(extra, dict)
        and isinstance(extra.get("text"), str)
        and isinstance(extra.get("filename", ""), str)
        for extra in extras
    )


def _fill(request: Mapping[str, Any], prefix: str, suffix: str, middle: str = "") -> FillRequest:
    extras = tuple(
        (extra.get("filename") or "tmp", extra["text"])
        for extra in request.get("input_extra") or ()
    )
    name, repository = (request.get(field) or "" for field in _BESIDE[1:])
    return FillRequest(prefix, suffix, extras, name, repository, middle)


def _has_texts(request: Mapping[str, Any], names: Sequence[str]) -> bool:
    return all(isinstance(request.get(name) or "", str) for name in names)


def _has_files(request: Mapping[str, Any]) -> bool:
    return are_files(request.get("input_extra") or [])
