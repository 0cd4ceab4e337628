"""Editing a settings file changes one property and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.config_files import jsonc

COMMENTED = """\
// My settings
{
  "editor.fontSize": 14, // for my eyes
  /* do not touch
     "a": 1, */
  "files.exclude": {
    "**/x": true, // not "}" this
  },
  "url": "http://localhost:1", // "quoted"
}
"""


def test_a_new_property_goes_last_below_the_comment_of_the_one_before() -> None:
    edited = jsonc.put(COMMENTED, "b", [1])
    assert edited == COMMENTED.replace('// "quoted"', '// "quoted"\n  "b": [1],')


def test_a_known_property_changes_in_place() -> None:
    edited = jsonc.put(COMMENTED, "url", "http://other")
    assert edited == COMMENTED.replace("http://localhost:1", "http://other")


def test_values_are_read_through_comments_and_trailing_commas() -> None:
    assert jsonc.get(COMMENTED, "files.exclude") == {"**/x": True}
    assert jsonc.get(COMMENTED, "a") is None
    assert not jsonc.has(COMMENTED, "a")


def test_dropping_takes_the_line_and_leaves_the_rest() -> None:
    assert jsonc.drop('{\n  "a": 1,\n  "b": 2\n}\n', "b") == '{\n  "a": 1\n}\n'
    assert jsonc.drop('{\n  "a": 1,\n  "b": 2\n}\n', "a") == '{\n  "b": 2\n}\n'
    assert jsonc.drop('{"a": 1, "b": 2}', "a") == '{ "b": 2}'


def test_windows_line_ends_and_byte_order_marks_stay() -> None:
    text = '\ufeff{\r\n\t"a": 1\r\n}\r\n'
    assert jsonc.put(text, "b", 2) == '\ufeff{\r\n\t"a": 1,\r\n\t"b": 2\r\n}\r\n'


def test_an_empty_file_and_an_empty_object_become_an_object() -> None:
    assert json.loads(jsonc.put("", "a", 1)) == {"a": 1}
    assert jsonc.put("{}", "a", 1) == '{\n    "a": 1\n}'
    assert jsonc.get(jsonc.put("{ // nothing yet\n}", "a", 1), "a") == 1


def test_of_duplicates_the_last_counts_as_it_does_for_editors() -> None:
    assert jsonc.put('{"a": 1, "a": 2}', "a", 3) == '{"a": 1, "a": 3}'


@pytest.mark.parametrize(
    "broken", ["[1]", '{"a" 1}', '{"a": }', '{"a": 1 "b": 2}', '{"a": 1', '{"a": 1} x', '{"a: 1}']
)
def test_what_is_not_an_object_is_refused_and_not_repaired(broken: str) -> None:
    with pytest.raises(jsonc.JsoncError):
        jsonc.put(broken, "b", 1)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), _values, max_size=5), st.text(), _values, st.booleans())
def test_put_and_drop_agree_with_a_json_library(
    settings: dict[str, object], key: str, value: object, indented: bool
) -> None:
    text = json.dumps(settings, indent=2 if indented else None)
    put = jsonc.put(text, key, value)
    assert json.loads(put) == {**settings, key: value}
    assert jsonc.get(put, key) == value
    assert jsonc.values(put) == {**settings, key: value}
    dropped = jsonc.drop(put, key)
    assert json.loads(dropped) == {k: v for k, v in settings.items() if k != key}


@given(st.dictionaries(st.text(min_size=1), _values, min_size=1, max_size=4), st.text(), _values)
def test_dropping_what_was_put_gives_back_every_byte(
    settings: dict[str, object], key: str, value: object
) -> None:
    text = json.dumps(settings, indent=4)
    if key not in settings:
        assert jsonc.drop(jsonc.put(text, key, value), key) == text


def test_a_nested_value_is_added_in_the_owners_indentation_and_taken_away_again() -> None:
    text = '{\n  "provider": {\n    "mine": {"a": 1} // keep\n  }\n}\n'
    path = ("provider", "stoker")
    edited = jsonc.put(text, path, {"url": "http://x"})
    assert edited == (
        '{\n  "provider": {\n    "mine": {"a": 1}, // keep\n'
        '    "stoker": {\n      "url": "http://x"\n    }\n  }\n}\n'
    )
    assert jsonc.get(edited, (*path, "url")) == "http://x"
    assert jsonc.drop(edited, path) == text


def test_an_item_of_a_list_is_found_by_one_of_its_values() -> None:
    path = ("models", ("name", "b"))
    edited = jsonc.put('{"models": [{"name": "a"}]}', path, {"name": "b", "n": 1})
    assert edited == '{"models": [{"name": "a"}, {"name": "b", "n": 1}]}'
    again = jsonc.put(edited, path, {"name": "b", "n": 2})
    assert json.loads(again)["models"][1] == {"name": "b", "n": 2}


def test_a_fault_deep_in_the_file_is_reported_with_its_line() -> None:
    with pytest.raises(ValueError, match="line 3"):
        jsonc.values('{\n  // a\n  "x": {"a" 1}\n}\n')
