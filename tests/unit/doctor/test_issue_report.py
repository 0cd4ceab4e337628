"""A report can be published: it contains nothing private."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.doctor.states import ANSWERS, EMPTY, HEALTHY, HERE, remote
from tests.unit.doctor.test_findings import STATES

from stoker.doctor import Readings, diagnose, report

Place = tuple[Any, ...]

SECRETS = st.one_of(
    st.from_regex(r"hf_[A-Za-z0-9]{24}", fullmatch=True),
    st.from_regex(r"sk-[A-Za-z0-9]{24}", fullmatch=True),
    st.from_regex(r"/home/[a-z]{8}/[a-z]{8}", fullmatch=True),
    st.from_regex(r"[a-z]{6}:[A-Za-z0-9]{10}@[a-z]{6}\.corp", fullmatch=True),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789 -_{}", min_size=16, max_size=40).filter(
        lambda text: text.strip() == text and "  " not in text
    ),
)


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """The place of a text in the readings that comes from outside, and so can be anything."""
    if isinstance(value, str | Path):
        yield at
    elif dataclasses.is_dataclass(value):
        hints = get_type_hints(type(value))
        for field in dataclasses.fields(value):
            if not _is_fixed(hints[field.name]):
                yield from places(getattr(value, field.name), (*at, field.name))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from places(item, (*at, index))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from places(item, (*at, key))


def _is_fixed(hint: Any) -> bool:
    """A ``Literal``, or one that may be ``None``: mypy refuses any other value."""
    parts = get_args(hint)
    return any(isinstance(part, str) for part in parts) or any(_is_fixed(part) for part in parts)


def put(value: Any, at: Place, secret: str) -> Any:
    """The same readings with ``secret`` in that place, alone or after the text there."""
    if not at:
        text = f"{value}{secret}"
        return Path(text) if isinstance(value, Path) else text
    first, rest = at[0], at[1:]
    if dataclasses.is_dataclass(value):
        changed = put(getattr(value, first), rest, secret)
        return dataclasses.replace(value, **{first: changed})  # type: ignore[type-var]
    if isinstance(value, Mapping):
        return {**value, first: put(value[first], rest, secret)}
    return type(value)(
        put(item, rest, secret) if index == first else item for index, item in enumerate(value)
    )


def complete(readings: Readings) -> Readings:
    """Adds a reading for every text that names an endpoint, as gathering does."""
    values = [v for look in readings.editors for f in look.settings for v in f.values.values()]
    texts = [value for value in values if isinstance(value, str)]
    if readings.deployment is not None:
        texts.append(readings.deployment.spec.endpoint)
    asked = {t: dataclasses.replace(ANSWERS, url=t if "://" in t else HERE) for t in texts}
    return dataclasses.replace(readings, endpoints={**asked, **readings.endpoints})


WHERE = [(kind, place) for kind, state in sorted(STATES.items()) for place in places(state)]


@given(where=st.sampled_from(WHERE), secret=SECRETS)
def test_a_secret_in_any_reading_never_shows(where: tuple[str, Place], secret: str) -> None:
    kind, place = where
    readings = complete(put(STATES[kind], place, secret))
    text = report(readings, diagnose(readings))
    assert secret not in text
    assert secret.replace("|", "\\|") not in text


def test_every_place_of_every_state_keeps_its_secret() -> None:
    secret = "hf_Tr0ub4dorAndThreeSecrets"
    for kind, place in WHERE:
        readings = complete(put(STATES[kind], place, secret))
        assert secret not in report(readings, diagnose(readings)), (kind, place)


def test_the_places_are_many_and_reach_the_keys() -> None:
    found = {".".join(str(part) for part in place) for _, place in WHERE}
    assert "deployment.spec.options.endpoint" in found
    assert "editors.0.settings.0.path" in found
    assert "deployment.spec.options.key" in found
    assert "deployment.state.problem.why" in found
    assert "proxies.HTTPS_PROXY" in found
    assert len(found) > 60


@pytest.mark.parametrize("kind", sorted(STATES))
def test_a_report_names_its_finding_and_reads_as_a_table(kind: str) -> None:
    text = report(STATES[kind], diagnose(STATES[kind]))
    assert f"(`{kind}`)" in text
    for row in text.splitlines()[5:]:
        assert row.replace("\\|", "").count("|") == 4, row


def test_a_report_still_states_what_helps() -> None:
    text = report(HEALTHY, diagnose(HEALTHY))
    assert "http://127.0.0.1:8000" in text
    assert "qwen2.5-coder-7b" in text
    assert "1.139.1" in text
    assert "llama.cpp" in text
    assert "ada" not in text
    assert "example.com" not in report(remote(), diagnose(remote()))
    assert "ada" not in report(EMPTY, diagnose(EMPTY))
