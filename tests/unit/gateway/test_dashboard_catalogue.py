"""Every text of the dashboard is there in both languages, is used, and takes the same values."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

import stoker.gateway.dashboard
from stoker.gateway.dashboard import catalogue, page_rendering
from stoker.gateway.dashboard.formats import LANGUAGES
from stoker.gateway.usage.recent_errors import ErrorKind

TEMPLATES = Path(stoker.gateway.dashboard.__file__).parent / "templates"
SOURCE = "\n".join(
    file.read_text(encoding="utf-8")
    for file in sorted([*TEMPLATES.glob("*.html"), *TEMPLATES.parent.glob("*.py")])
)
#: Sections whose texts are chosen by a value: a state, a cut, a fault, an error.
CHOSEN = (
    *("overall.", "state.", "cuts.", "refused.", "sign_in.fault.", "errors."),
    *("backends.up", "backends.down", "backends.resting"),
)


def values_in(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(catalogue.texts()))
def test_text_is_whole_in_every_language(key: str) -> None:
    texts = catalogue.texts()[key]
    assert set(texts) == set(LANGUAGES)
    assert all(text.strip() for text in texts.values())
    assert len({frozenset(values_in(text)) for text in texts.values()}) == 1
    tags = [re.findall(r"<[^>]+>", text) for text in texts.values()]
    assert tags[0] == tags[1]


def test_each_text_that_a_page_names_is_there() -> None:
    named = set(re.findall(r"""(?:\bt|\.text)\(["']([a-z_.]+[a-z])["']""", SOURCE))
    assert len(named) > 60
    assert named <= set(catalogue.texts())


def test_no_text_is_left_over() -> None:
    unused = {
        key
        for key in catalogue.texts()
        if f'"{key}"' not in SOURCE and f"'{key}'" not in SOURCE and not key.startswith(CHOSEN)
    }
    assert unused == set()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ErrorKind("busy", 429), "busy"),
        (ErrorKind("backend_refused", 400), "backend_refused"),
        (ErrorKind("backend_refused", 500), "backend_error"),
        (ErrorKind("an_engines_own_code", 422), "other_client"),
        (ErrorKind("", 503), "other_server"),
        (ErrorKind("engine_ended"), "engine_ended"),
    ],
)
def test_every_error_has_a_diagnosis(kind: ErrorKind, name: str) -> None:
    assert page_rendering.diagnosis(kind) == name
    for part in ("what", "why", "fix"):
        assert catalogue.has(f"errors.{name}.{part}")


def test_the_gateways_own_codes_have_diagnoses_of_their_own() -> None:
    gateway = TEMPLATES.parents[1]
    source = "\n".join(f.read_text("utf-8") for f in sorted((gateway / "api").glob("*.py")))
    codes = set(re.findall(r'code="([a-z_]+)"', source))
    #: The client's own mistakes: its message names the field.
    generic = {"invalid_body", "invalid_http", "invalid_json", "invalid_type", "nested_too_deeply"}
    generic |= {"unsupported_content", "unsupported_suffix", "no_cache_per_owner"}
    generic |= {"server_address_not_allowed", "too_many_values"}
    assert {c for c in codes if not catalogue.has(f"errors.{c}.what")} <= generic
