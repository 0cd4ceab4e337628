"""How llama.vscode 0.0.63 asks for a completion, and what it shows of the answer. Pure.

Written from its description: its settings with their defaults, its README, and the technical
details in llama.cpp's pull request 9787, which its ring of chunks comes from. It asks ``/infill``
for up to 256 lines before the cursor's line, that line up to the cursor, and 64 lines after; beside
these goes a ring of 16 chunks. A chunk is taken around the cursor when a file is opened, left or
saved, and far before and after it when a completion was shown and the cursor has moved on; one that
is too long gives 32 lines at a place drawn by lot. Chunks that share 90 % of their lines with a new
one leave the ring. They join it while the editor is idle; here that is before the next position.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.completion_positions import Event, Position

#: Its settings, in its names.
N_PREFIX, N_SUFFIX, N_PREDICT = 256, 64, 128
T_MAX_PROMPT_MS, T_MAX_PREDICT_MS = 500, 500
MAX_LINE_SUFFIX = 8
RING_N_CHUNKS, RING_CHUNK_SIZE, RING_SCOPE = 16, 64, 1024
_QUEUED_CHUNKS, _LEAST_LINES, _ALIKE, _MOVED_LINES = 16, 3, 0.9, 32


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines of a file that go with every request."""

    path: str
    lines: tuple[str, ...]

    def as_extra(self) -> dict[str, str]:
        """The chunk as an item of ``input_extra``."""
        return {"filename": f"/project/{self.path}", "text": "\n".join(self.lines) + "\n"}

    def similarity(self, other: Chunk) -> float:
        """The share of their different lines that both have (Jaccard)."""
        mine, others = set(self.lines), set(other.lines)
        return len(mine & others) / max(1, len(mine | others))


@dataclass(slots=True)
class Ring:
    """The chunks of a session. ``chance`` draws the places in files that are too long."""

    chance: random.Random
    chunks: list[Chunk] = field(default_factory=list)
    queued: list[Chunk] = field(default_factory=list)
    _picked_line: int = -9999

    def note(self, event: Event) -> None:
        """Take a chunk where something was done; typing alone is nothing to it."""
        if event.kind != "edit":
            lines, half = event.text.split("\n"), RING_CHUNK_SIZE // 2
            around = lines[max(0, event.line - half) : event.line + half + 1]
            self._pick(event.path, around, evict=True)

    def note_shown(self, path: str, position: Position) -> None:
        """Take chunks from far before and after a completion that was shown."""
        lines = (position.before + position.after).split("\n")
        line = position.before.count("\n")
        if abs(line - self._picked_line) > _MOVED_LINES:
            self._pick(path, lines[max(0, line - RING_SCOPE) : max(0, line - N_PREFIX) + 1])
            last = len(lines) - 1
            start, end = line + N_SUFFIX, line + N_SUFFIX + RING_CHUNK_SIZE
            self._pick(path, lines[min(last, start) : min(last, end) + 1])
            self._picked_line = line

    def idle(self) -> None:
        """Let what waits join the ring, as in some seconds without a completion."""
        self.chunks = [*self.chunks, *self.queued][-RING_N_CHUNKS:]
        self.queued = []

    def _pick(self, path: str, lines: Sequence[str], *, evict: bool = False) -> None:
        if len(lines) < _LEAST_LINES:
            return
        if len(lines) + 1 >= RING_CHUNK_SIZE:
            half = RING_CHUNK_SIZE // 2
            start = self.chance.randrange(max(1, len(lines) - half + 1))
            lines = lines[start : start + half]
        chunk = Chunk(path, tuple(lines))
        if evict:
            if any(each.lines == chunk.lines for each in (*self.chunks, *self.queued)):
                return
            self.chunks = [each for each in self.chunks if each.similarity(chunk) <= _ALIKE]
            self.queued = [each for each in self.queued if each.similarity(chunk) <= _ALIKE]
        self.queued = [*self.queued, chunk][-_QUEUED_CHUNKS:]


def request(position: Position, chunks: Sequence[Chunk]) -> dict[str, Any] | None:
    """The body for ``/infill``; nothing where too much follows on the cursor's line."""
    if len(position.line_after) > MAX_LINE_SUFFIX:
        return None
    above, below = position.before.split("\n")[:-1], position.after.split("\n")[1:]
    line = position.line_before + position.line_after
    indent = len(line) - len(line.lstrip())
    body: dict[str, Any] = {
        "input_prefix": "\n".join(above[-N_PREFIX:]) + "\n",
        "prompt": position.line_before if position.line_before.strip() else "",
        "input_suffix": position.line_after + "\n" + "\n".join(below[:N_SUFFIX]) + "\n",
        "input_extra": [chunk.as_extra() for chunk in chunks],
        "n_predict": N_PREDICT,
        "top_k": 40,
        "top_p": 0.99,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True,
        "t_max_prompt_ms": T_MAX_PROMPT_MS,
        "t_max_predict_ms": T_MAX_PREDICT_MS,
        # So that a run can be repeated: its own is drawn anew.
        "seed": 19,
        "stream": False,
    }
    return {**body, "n_indent": indent} if indent else body


def shown(answer: str, position: Position) -> str:
    """The suggestion that is shown for an answer, or "" where it is dropped."""
    lines = re.split(r"\r?\n", answer)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines or _repeats(lines, position):
        return ""
    text = _before_rest(lines, position.line_after)
    return text if position.line_before.strip() else _without_indent(text, position.line_before)


def _repeats(lines: Sequence[str], position: Position) -> bool:
    """Whether the lines are those that stand after the cursor already."""
    rest, *below = position.after.split("\n")
    first, more = lines[0], list(lines[1:])
    if not below:
        return False
    if first.strip() in ("", rest.strip()) and more and more == below[: len(more)]:
        return True
    if not more and first == rest:
        return True
    while below and not below[0].strip():
        below.pop(0)
    if not below or position.line_before + first != below[0]:
        return False
    following = below[1 : 1 + len(more)]
    return more == following or (
        len(more) == 1 == len(following) and following[0].startswith(more[0])
    )


def _before_rest(lines: Sequence[str], rest: str) -> str:
    """One line without what the cursor's line goes on with, where it goes on."""
    if not rest.strip():
        return "\n".join(lines)
    return lines[0].removesuffix(rest)


def _without_indent(text: str, indent: str) -> str:
    """The answer begins with the indentation that stands before the cursor already."""
    most = len(indent)
    return text[len(re.match(rf"[ \t]{{0,{most}}}", text)[0]) :]  # type: ignore[index]
