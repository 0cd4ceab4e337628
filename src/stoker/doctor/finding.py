"""One finding, with its texts from ``data/doctor.toml``.

The texts hold no secrets, but their values may: a path contains a user's name, a model's name can
be a company's, an error can quote anything. So every value is private but two kinds: a number, and
a ``Public`` text. The functions here make a text public only where it has the form of a version, is
in a catalogue, or is an address of this machine. A report shows ``<name>`` for a private value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal
from urllib.parse import urlsplit

from stoker.counted import Counted
from stoker.data.facts import load_table
from stoker.host import lookup_gpu
from stoker.vscode import Look

#: What a finding means for the chat. Only ``broken`` makes the exit code of the doctor 1.
State = Literal["ok", "warning", "broken", "not needed"]
Value = str | int | float

_EDITORS = ("VS Code", "VS Code Insiders", "VSCodium", "Cursor", "code-server", "VS Code (remote)")
_OWN_ADDRESS = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")
_VERSION = re.compile(r"\d{1,4}(\.\d{1,5}){1,3}")


class Public(str):
    """A text that a report may show."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the chain. ``id`` is the first part of its findings' ids."""

    id: str
    title: str
    means: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding: texts with placeholders for values, from ``data/doctor.toml``."""

    id: str
    state: State
    what: str
    why: str = ""
    fix: str = ""
    safe_fix: str | None = None

    @property
    def link(self) -> str:
        """The id of its link."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """A kind of finding with the values that were read."""

    kind: Kind
    values: Mapping[str, Value] = field(default_factory=dict)
    #: The name of the editor that a safe fix changes.
    editor: str | None = None

    @property
    def state(self) -> State:
        """How bad it is."""
        return self.kind.state

    @property
    def what(self) -> str:
        """What was found."""
        return _filled(self.kind.what, self.values)

    @property
    def why(self) -> str:
        """What it does to a chat."""
        return _filled(self.kind.why, self.values)

    @property
    def fix(self) -> str:
        """What to do."""
        return _filled(self.kind.fix, self.values)

    def of(self, editor: str) -> Finding:
        """The same finding, whose safe fix changes ``editor``."""
        return replace(self, editor=editor)

    def redacted(self) -> Finding:
        """The same finding without its private values."""
        shown = {k: v if is_public(v) else Public(f"<{k}>") for k, v in self.values.items()}
        return Finding(self.kind, shown)


@cache
def links() -> tuple[Link, ...]:
    """The links of the chain, in order."""
    return tuple(Link(**entry) for entry in load_table("doctor")["link"])


@cache
def kinds() -> Mapping[str, Kind]:
    """Every kind of finding, by its id."""
    return {entry["id"]: Kind(**entry) for entry in load_table("doctor")["finding"]}


def limit(name: str) -> Any:
    """A limit that findings depend on, from ``data/doctor.toml``."""
    return load_table("doctor")["limits"][name]


def found(kind: str, **values: Value) -> Finding:
    """A finding of the kind with the id ``kind``."""
    return Finding(kinds()[kind], values)


def version(text: str | None) -> Value:
    """A version. It is public where it has the form of one."""
    text = text or "unknown"
    return Public(text) if text == "unknown" or _VERSION.fullmatch(text) else text


def numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version, for comparison."""
    return tuple(int(part) for part in re.findall(r"\d+", text))


def known(text: str, vocabulary: Collection[str]) -> Value:
    """``text``, public where ``vocabulary`` has it."""
    return Public(text) if text in vocabulary else text


def gpu(name: str) -> Value:
    """A GPU's name, public where the catalogue has it."""
    spec = lookup_gpu(name)
    return Public(spec.name) if spec is not None else name


def model_name(name: str) -> Value:
    """A model's name, public where Stoker's own catalogues have it."""
    return known(name, _model_names())


@cache
def _model_names() -> frozenset[str]:
    """The names of published models, without the user's own additions."""
    listed = [*load_table("models")["models"], *load_table("gguf_models")["model"]]
    variants = [variant for row in listed for variant in row.get("variants", ())]
    aliases = [alias for row in listed for alias in row.get("aliases", ())]
    names = [row["id"] for row in (*listed, *variants)]
    return frozenset([*names, *aliases, *(name.lower() for name in aliases)])


def editor_name(look: Look) -> Value:
    """An editor's name, public where it is a product's."""
    return known(look.editor.name, _EDITORS)


def address(url: str) -> Value:
    """An endpoint. Public on this machine only: other addresses reveal a network's names."""
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return Public(shown) if _OWN_ADDRESS.fullmatch(shown) else shown


def gib(count: int) -> float:
    """Bytes in GiB, to one decimal place."""
    return round(count / 1024**3, 1)


def is_public(value: Value) -> bool:
    """Whether a report may show ``value``."""
    return isinstance(value, Public | int | float)


def _filled(text: str, values: Mapping[str, Value]) -> str:
    """One line, without control characters: a server chooses its models' names."""
    return " ".join(text.format(**{k: _shown(v) for k, v in values.items()}).split())


def _shown(value: Value) -> Value:
    if isinstance(value, str):
        return _printable(value)
    return Counted(value) if isinstance(value, int) else value


def _printable(value: str) -> str:
    return "".join(c if c.isprintable() else " " for c in value)
