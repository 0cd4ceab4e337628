"""Objects as YAML, with their reasons as comments: for ``kubectl``, and as templates for Helm."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stoker.deploy.kubernetes.manifest import NAMESPACE, Because, ChartValue, Node
from stoker.deploy.site_file import Line

#: What YAML 1.1 and 1.2 both read as this text and as nothing else.
_BARE = re.compile(r"[A-Za-z/@][-A-Za-z0-9_./@]*")
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
#: How a setting is written in place of its value: as lines, the first of which follows the key.
Written = Callable[[ChartValue, int], "tuple[str, ...] | None"]


def yaml_lines(node: Mapping[str, Node], written: Written | None = None) -> list[Line]:
    """An object as lines; without ``written``, settings have their defaults."""
    return _mapping(node, 0, written or _default)


def helm_lines(node: Mapping[str, Node]) -> list[Line]:
    """An object as lines of a template of Helm."""
    return [Line(escaped(line.text), escaped(line.why)) for line in _mapping(node, 0, _template)]


def with_namespace(lines: Sequence[Line], namespace: str) -> list[Line]:
    """The lines with the name of the namespace where it belongs."""
    return [
        Line(line.text.replace(NAMESPACE, namespace), line.why.replace(NAMESPACE, namespace))
        for line in lines
    ]


def _default(_setting: ChartValue, _indent: int) -> None:
    return None


#: Template actions are put in last, so that braces of other languages stay what they are.
_OPEN, _CLOSE = "\x01", "\x02"


def _template(setting: ChartValue, indent: int) -> tuple[str, ...]:
    value = f".Values.{setting.path}"
    if isinstance(setting.default, (dict, list)):
        return ("", f"{' ' * indent}{_OPEN}- toYaml {value} | nindent {indent} {_CLOSE}")
    if isinstance(setting.default, bool):
        return (f"{_OPEN} {value} {_CLOSE}",)
    # A number of values.yaml is a float for Helm, and 1000000 would be written as 1e+06.
    shown = "int" if isinstance(setting.default, int) else "quote"
    return (f"{_OPEN} {value} | {shown} {_CLOSE}",)


def escaped(text: str) -> str:
    """Text in which only Stoker's own actions are ones of Helm's."""
    safe = text.replace("{{", '{{ "{{" }}')
    return (
        safe.replace(_OPEN, "{{")
        .replace(_CLOSE, "}}")
        .replace(NAMESPACE, "{{ .Release.Namespace }}")
    )


def _mapping(node: Mapping[str, Node], indent: int, written: Written) -> list[Line]:
    lines: list[Line] = []
    for key, value in node.items():
        lines += _entry(f"{' ' * indent}{_scalar(key)}:", value, indent, written)
    return lines


def _entry(head: str, node: Node, indent: int, written: Written) -> list[Line]:
    """A key with its value below or beside it."""
    value, why = _without_reason(node)
    if isinstance(value, ChartValue):
        shown = written(value, indent + 2)
        if shown is not None:
            return [Line(f"{head} {shown[0]}".rstrip(), why), *map(Line, shown[1:])]
        value = value.default
    if isinstance(value, str) and "\n" in value:
        return [Line(f"{head} |", why), *_block(value, indent + 2)]
    if isinstance(value, (str, int)) or not value:
        return [Line(f"{head} {_scalar(value)}", why)]
    if isinstance(value, Mapping):
        return [Line(head, why), *_mapping(value, indent + 2, written)]
    assert isinstance(value, Sequence)  # noqa: S101  (for the type checker: nothing else is left)
    items = (item for part in value for item in _item(part, indent + 2, written))
    return [Line(head, why), *items]


def _item(node: Node, indent: int, written: Written) -> list[Line]:
    """An entry of a list: the first line of a mapping begins with the dash."""
    value, why = _without_reason(node)
    if not isinstance(value, Mapping):
        return _entry(f"{' ' * indent}-", node, indent, written)
    first, *rest = _mapping(value, indent + 2, written)
    dashed = f"{' ' * indent}- {first.text[indent + 2 :]}"
    return [Line(dashed, why or first.why), *rest]


def _without_reason(node: Node) -> tuple[Any, str]:
    if isinstance(node, Because):
        value, inner = _without_reason(node.value)
        return value, node.why or inner
    return node, node.why if isinstance(node, ChartValue) else ""


def _block(text: str, indent: int) -> list[Line]:
    if not text.endswith("\n") or text.endswith("\n\n"):
        raise ValueError("a text of several lines ends with one line end")
    return [Line(f"{' ' * indent}{line}" if line else "") for line in text.splitlines()]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and (not _BARE.fullmatch(value) or value.lower() in _NOT_TEXT):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        return value
    return json.dumps(value)
