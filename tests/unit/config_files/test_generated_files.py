"""Whatever a file holds, setting a value keeps every other value and comment, and can be undone."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stoker.config_files import FormatName, Keys, edits, file_format, path_in_file

NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
SCALARS = (
    st.integers(-1000, 1000)
    | st.booleans()
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
)
OBJECTS = st.recursive(
    st.dictionaries(NAMES, SCALARS, max_size=4),
    lambda inner: st.dictionaries(NAMES, SCALARS | inner | st.lists(inner, max_size=3), max_size=4),
    max_leaves=12,
)
COMMENT = "keep this comment"
VALUE = {"url": "http://127.0.0.1:8000/v1", "models": [{"id": "m", "window": 32768}]}
PATHS: tuple[Keys, ...] = (
    ("stoker",),
    ("stoker", "x"),
    ("deep", "er", "stoker"),
)


def written(form: FormatName, document: dict[str, Any]) -> str:
    """The document as its owner might write it: with comments around every line."""
    if form == "json":
        lines = json.dumps(document, indent=2, ensure_ascii=False).splitlines()
        return "\n".join(f"{line} // {COMMENT}" for line in lines) + "\n"
    if form == "toml":
        text = tomlkit.dumps(document)
        return f"# {COMMENT}\n{text}\n# {COMMENT} at the end\n"
    text = dumped_as_yaml(document) if document else ""
    return f"# {COMMENT}\n{text}# {COMMENT} at the end\n"


def dumped_as_yaml(document: dict[str, Any]) -> str:
    from io import StringIO  # noqa: PLC0415

    out = StringIO()
    YAML(typ="safe", pure=True).dump(document, out)
    return out.getvalue()


@pytest.mark.parametrize("form", ["json", "toml", "yaml"])
@given(document=OBJECTS, path=st.sampled_from(PATHS), value=SCALARS | st.just(VALUE))
def test_every_other_value_and_comment_is_kept_and_undoing_gives_the_same_document(
    form: FormatName, document: dict[str, Any], path: Keys, value: object
) -> None:
    text = written(form, document)
    how = file_format(form)
    before = how.values(text)
    after, changes = edits.edited(text, how, {path: value})
    assert how.values(after) == path_in_file.put(before, path, value)
    assert after.count(COMMENT) == text.count(COMMENT)
    again, _ = edits.edited(after, how, {path: value})
    assert again == after
    undone, restored, kept = edits.taken_back(after, how, changes)
    assert (restored, kept) == ((path,), ())
    assert (how.values(undone) or {}) == (before or {})
    assert undone.count(COMMENT) == text.count(COMMENT)


@pytest.mark.parametrize("form", ["json", "yaml"])
@given(items=st.lists(st.fixed_dictionaries({"name": NAMES}, optional={"n": SCALARS}), max_size=4))
def test_an_item_joins_a_list_whatever_the_others_are(
    form: FormatName, items: list[dict[str, Any]]
) -> None:
    text = written(form, {"models": items})
    how = file_format(form)
    path: Keys = ("models", ("name", "Stoker"))
    after, changes = edits.edited(text, how, {path: {"name": "Stoker", "n": 1}})
    assert how.values(after)["models"] == [*items, {"name": "Stoker", "n": 1}]
    undone, _, _ = edits.taken_back(after, how, changes)
    assert how.values(undone)["models"] == items
    assert undone.count(COMMENT) == text.count(COMMENT)


LINES = st.lists(
    st.sampled_from(["# keep", "", "A=1", "export B='two words'", "C=x # note", "D="]), max_size=8
)


@given(lines=LINES, crlf=st.booleans(), value=st.sampled_from(["http://h:1/v1", "a b", ""]))
def test_a_variable_is_set_and_taken_away_and_every_other_line_keeps_its_bytes(
    lines: list[str], crlf: bool, value: str
) -> None:
    end = "\r\n" if crlf else "\n"
    text = "".join(line + end for line in lines)
    how = file_format("env")
    after, changes = edits.edited(text, how, {("STOKER",): value})
    assert after.startswith(text)
    assert how.values(after)["STOKER"] == value
    assert edits.taken_back(after, how, changes)[0] == text


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("json", '{\n  "a": 1,\n  "b" 2\n}\n'),
        ("toml", "a = 1\n\nb = = 2\n"),
        ("yaml", "a: 1\n\nb: [1, 2\n"),
        ("env", "A=1\n\nwhat is this\n"),
    ],
)
def test_a_broken_file_is_refused_with_the_line(form: FormatName, text: str) -> None:
    with pytest.raises(ValueError, match=r"line [34]"):
        edits.edited(text, file_format(form), {("stoker",): "x"})


@pytest.mark.parametrize(
    "text",
    [
        "models: # mine\n  - name: a # first\n    x: 1\n\n# below\nother: 'y'\n",
        "models:\n- name: a\n- name: b # second\nother: y\n",
        "models: [{name: a}]\nother: y\n",
        "models: # none yet\nother: y\n",
        "models: []\nother: y\n",
        "# only a comment\n",
        "---\nother: |\n  long\n  text\n",
        "other: &x {a: 1}\nmore: *x\n",
    ],
)
def test_yaml_of_every_layout_takes_an_item_and_gives_it_back(text: str) -> None:
    how = file_format("yaml")
    path: Keys = ("models", ("name", "Stoker"))
    item = {"name": "Stoker", "roles": ["chat"], "limits": {"n": 1}}
    before = how.values(text)
    after, changes = edits.edited(text, how, {path: item})
    assert how.values(after)["models"][-1] == item
    assert [line for line in text.splitlines() if "#" in line and line not in after] == []
    undone, _, _ = edits.taken_back(after, how, changes)
    assert (how.values(undone) or {}).get("other") == (before or {}).get("other")
    assert not (how.values(undone) or {}).get("models") or "Stoker" not in undone


def test_a_layout_that_cannot_be_kept_is_refused() -> None:
    """The alias would be changed where its anchor is, and with it another setting."""
    text = "base: &b\n  a: 1\nmodel: *b\n"
    with pytest.raises(ValueError, match="layout"):
        edits.edited(text, file_format("yaml"), {("model", "x"): 2})


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("yaml", "# mine\r\na: 1 # x\r\nllm:\r\n  t: 0\r\n"),
        ("toml", "# mine\r\na = 1 # x\r\n[t]\r\nb = 2\r\n"),
        ("json", '\ufeff{\r\n  "a": 1 // x\r\n}\r\n'),
    ],
)
def test_windows_line_ends_are_kept_on_new_lines_too(form: FormatName, text: str) -> None:
    after, _ = edits.edited(text, file_format(form), {("deep", "stoker"): VALUE})
    assert after.count("\n") == after.count("\r\n") > text.count("\r\n")


def test_tables_that_stand_apart_in_toml_take_one_more_and_give_it_back() -> None:
    text = "[p.x]\nn = 1\n\n[other]\nm = 1\n\n[p.y]\nn = 1\n"
    how = file_format("toml")
    after, changes = edits.edited(text, how, {("p", "stoker"): {"n": 2}})
    assert how.values(after)["p"]["stoker"] == {"n": 2}
    assert how.values(edits.taken_back(after, how, changes)[0]) == how.values(text)
