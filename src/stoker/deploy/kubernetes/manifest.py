"""Objects of Kubernetes as values: a tree with the reason for what a person may ask about.

The same tree becomes YAML for ``kubectl`` and a template for Helm (``manifest_text``).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

#: Stands in any text for the namespace, which Helm learns at installation.
NAMESPACE = "@namespace@"


@dataclass(frozen=True, slots=True)
class Because:
    """A part of an object, and why it is there or has this value."""

    value: Node
    why: str


@dataclass(frozen=True, slots=True)
class ChartValue:
    """A part of an object that the chart's user may set: its path in ``values.yaml``."""

    path: str
    default: Any
    why: str


Node: TypeAlias = "str | int | Because | ChartValue | Mapping[str, Node] | Sequence[Node]"


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """Objects that belong together, and the file that they are in."""

    name: str
    #: What the file is for: its first comment.
    purpose: str
    objects: tuple[Mapping[str, Node], ...]

    @property
    def head(self) -> tuple[str, ...]:
        """The first lines of the file."""
        return (*(f"# {line}" for line in textwrap.wrap(self.purpose, 98)), "")


def plain(node: Node) -> Any:
    """The tree without its reasons, each setting with its default."""
    if isinstance(node, Because):
        return plain(node.value)
    if isinstance(node, ChartValue):
        return node.default
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, (str, int)):
        return node
    return [plain(value) for value in node]


def settings(node: Node) -> Iterator[ChartValue]:
    """Every setting in the tree, in its order."""
    if isinstance(node, ChartValue):
        yield node
    elif isinstance(node, Because):
        yield from settings(node.value)
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from settings(value)
    elif not isinstance(node, (str, int)):
        for value in node:
            yield from settings(value)
