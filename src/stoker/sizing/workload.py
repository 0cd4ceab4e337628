"""How developers use models: sessions whose prompt grows, with pauses for tools and for people.

The shapes are those of published traces:

- **TraceLab** (arXiv 2606.30560, 4,265 sessions of Claude Code and Codex): 357,161 steps read
  54.9 G tokens, 154K each, of which 95.8 % were cached and 6.4K were not, and wrote 186.9 M, 523
  each. 33,960 steps followed a person's message, so a message starts 10.5 steps. What a step
  appends has a median of 0.7K to 1K once the prompt is above 32K. Caches that never evict would
  have to prefill 5.3 times less: 1.2K a step is new, and that is what a step appends here. The
  rest is what the simulated cache evicts while people think.
- **VS Code's agent mode** sends 13,756 tokens of tools in a first prompt of 15,496 (measured with
  SmolLM2's tokenizer, see ``checks.bench.workloads``): the head that sessions share.
- **Azure 2023** (Splitwise, ISCA 2024): the service for code has a median prompt of 1,500 tokens
  and a median answer of 13; the one for conversation 1,020 and 129. Answers of the first are
  completions in an editor, those of the second a chat.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stoker.sizing.distributions import LogNormal

#: The kinds of sessions.
CHAT, AGENT, COMPLETION = "chat", "agent", "completion"

#: The share of the busiest hour's developers who are active, hour by hour from 9 to 17 o'clock.
#: An assumption, with a pause at noon as office traffic has it; a user's own trace replaces it.
OFFICE_DAY = (0.7, 1.0, 1.0, 0.6, 0.8, 1.0, 0.9, 0.6)
_MIX_SUM_TOLERANCE = 1e-6
#: More do not share one gateway. Each active one takes a kilobyte of memory in the simulation.
MOST_DEVELOPERS = 100_000


class ArrivingRequest(NamedTuple):
    """One request when it reaches the fleet.

    Its prompt is ``head_tokens`` tokens that every request with the same ``head`` begins with, then
    the tokens of its ``session``. A session's prompt is the whole conversation so far, so requests
    of one session share the shorter one's tokens, answers included.
    """

    at_s: float
    #: Names the conversation. One that was summarised goes on under another number.
    session: int
    prompt_tokens: int
    output_tokens: int
    kind: str = CHAT
    #: Names the shared beginning: system prompt and tools.
    head: str = ""
    head_tokens: int = 0


@dataclass(frozen=True, slots=True)
class SessionShape:
    """The sessions of one kind: lengths in tokens, times in seconds."""

    #: System prompt and tools, the same for all sessions with the same head.
    head_tokens: int
    #: What else the first prompt of a session has: the question, files, the workspace.
    first_tokens: LogNormal
    #: What each further step adds, besides the answer before it.
    append_tokens: LogNormal
    output_tokens: LogNormal
    #: Steps that one message of a person starts; between them the agent runs a tool.
    steps_per_turn: LogNormal = field(default_factory=lambda: LogNormal(1))
    tool_s: LogNormal = field(default_factory=lambda: LogNormal(1))
    turns_per_session: LogNormal = field(default_factory=lambda: LogNormal(1))
    #: From the end of an answer to the person's next message, or to a new session.
    human_s: LogNormal = field(default_factory=lambda: LogNormal(60))
    #: How many heads there are: projects with instructions of their own, versions of a client.
    heads: int = 1
    #: Tokens that a summary leaves of a conversation that has reached the context window.
    summary_tokens: int = 4000


#: Sources of the lengths are in the module's docstring. Tools: 253,000 timed calls of Codex took
#: 418 hours, 6 s each on average (TraceLab, ``codex_wall_internal_gap``); that half of them end
#: within a second, and all pauses of people, are assumptions, because they are published as
#: figures without numbers.
SHAPES: Mapping[str, SessionShape] = {
    AGENT: SessionShape(
        head_tokens=15_500,
        first_tokens=LogNormal.of(1500, 3000, 50, 60_000),
        append_tokens=LogNormal.of(850, 1200, 10, 60_000),
        output_tokens=LogNormal.of(220, 523, 1, 16_000),
        steps_per_turn=LogNormal.of(5, 10.5, 1, 300),
        tool_s=LogNormal.of(1.0, 6.0, 0.02, 1800),
        turns_per_session=LogNormal.of(4, 8, 1, 100),
        human_s=LogNormal.of(75, 300, 2, 7200),
        heads=4,
    ),
    CHAT: SessionShape(
        head_tokens=700,
        first_tokens=LogNormal.of(1020, 1700, 20, 30_000),
        append_tokens=LogNormal.of(120, 400, 5, 20_000),
        output_tokens=LogNormal.of(129, 220, 1, 4000),
        turns_per_session=LogNormal.of(3, 4, 1, 60),
        human_s=LogNormal.of(75, 180, 2, 7200),
    ),
    COMPLETION: SessionShape(
        head_tokens=0,
        first_tokens=LogNormal.of(1500, 1700, 20, 7000),
        append_tokens=LogNormal(1),
        output_tokens=LogNormal.of(13, 28, 1, 256),
        human_s=LogNormal.of(15, 40, 0.3, 3600),
    ),
}


@dataclass(frozen=True, slots=True)
class Workload:
    """Who uses the fleet, and how. Raises ``ValueError`` for what can't be.

    ``developers * active_share`` are in a session at the busiest time. Each does one thing at a
    time: it waits for the answer, then for its tool or itself, and asks again.
    """

    developers: int
    active_share: float = 0.3
    #: The share of active developers in each kind of session; the shares add up to 1.
    mix: Mapping[str, float] = field(
        default_factory=lambda: {AGENT: 0.5, CHAT: 0.2, COMPLETION: 0.3}
    )
    shapes: Mapping[str, SessionShape] = field(default_factory=lambda: SHAPES)
    #: Shares of ``active_share`` over equal parts of the simulated time: ``OFFICE_DAY``, or flat.
    profile: tuple[float, ...] = (1.0,)
    #: Conversations are summarised before they reach it.
    max_context_tokens: int = 131_072

    def __post_init__(self) -> None:
        if self.developers < 1:
            raise ValueError(f"{self.developers} developers: at least one must use the models")
        if self.developers > MOST_DEVELOPERS:
            raise ValueError(f"{self.developers} developers: at most {MOST_DEVELOPERS} at a time")
        if not 0 < self.active_share <= 1:
            raise ValueError(f"an active share of {self.active_share} is not above 0 and up to 1")
        if unknown := set(self.mix) - set(self.shapes):
            raise ValueError(f"the mix names {', '.join(sorted(unknown))}, which has no shape")
        if any(s < 0 for s in self.mix.values()) or not math.isclose(
            sum(self.mix.values()), 1, abs_tol=_MIX_SUM_TOLERANCE
        ):
            raise ValueError(f"the mix adds up to {sum(self.mix.values()):g} and not to 1")
        if not self.profile or any(not 0 <= share <= 1 for share in self.profile):
            raise ValueError("the profile needs shares from 0 to 1")

    @property
    def seats(self) -> int:
        """Developers who are active at the busiest time, at least one."""
        return max(1, round(self.developers * self.active_share))

    def active_seats(self, at_s: float, duration_s: float) -> int:
        """Developers who are active at a time of a simulation that lasts ``duration_s``."""
        part = min(len(self.profile) - 1, int(at_s / duration_s * len(self.profile)))
        return round(self.seats * self.profile[part])

    def next_change_s(self, at_s: float, duration_s: float) -> float:
        """When the next part of the profile begins."""
        part = int(at_s / duration_s * len(self.profile)) + 1
        return part * duration_s / len(self.profile)


class Seat:
    """One active developer: draws requests, each after the end of the one before.

    All draws come from the seat's own generator, so they depend on the seed and the seat only.
    """

    __slots__ = (
        *("kind", "shape", "_rng", "_ids", "_most", "_head", "_session"),
        *("_heads", "_tokens", "_steps", "_turns"),
    )

    def __init__(self, workload: Workload, kind: str, rng: random.Random, ids: Iterator[int]):
        self.kind = kind
        self.shape = workload.shapes[kind]
        self._rng = rng
        self._ids = ids
        self._most = workload.max_context_tokens
        self._heads = [f"{kind}/{number}" for number in range(self.shape.heads)]
        self._head = self._heads[0]
        self._session = self._tokens = self._steps = self._turns = 0

    def first_s(self) -> float:
        """When its first request comes: anywhere in the pauses that people make."""
        return self._rng.random() * self.shape.human_s.draw(self._rng)

    def next_request(self, at_s: float) -> ArrivingRequest:
        """The request that it sends now."""
        shape, rng = self.shape, self._rng
        output = shape.output_tokens.draw_count(rng)
        if self._turns <= 0:
            self._start_session()
        else:
            self._tokens += shape.append_tokens.draw_count(rng)
            if self._tokens + output > self._most:
                self._summarise()
        output = min(output, max(1, self._most - self._tokens))
        request = ArrivingRequest(
            at_s, self._session, self._tokens, output, self.kind, self._head, shape.head_tokens
        )
        self._tokens += output
        return request

    def pause_s(self) -> float:
        """How long after an answer it sends the next request."""
        self._steps -= 1
        if self._steps > 0:
            return self.shape.tool_s.draw(self._rng)
        self._steps = self.shape.steps_per_turn.draw_count(self._rng)
        self._turns -= 1
        return self.shape.human_s.draw(self._rng)

    def _start_session(self) -> None:
        shape, rng = self.shape, self._rng
        self._session = next(self._ids)
        self._head = rng.choice(self._heads)
        most = max(1, self._most // 2 - shape.head_tokens)
        self._tokens = shape.head_tokens + min(most, shape.first_tokens.draw_count(rng))
        self._turns = shape.turns_per_session.draw_count(rng)
        self._steps = shape.steps_per_turn.draw_count(rng)

    def _summarise(self) -> None:
        self._session = next(self._ids)
        self._tokens = min(self._most // 2, self.shape.head_tokens + self.shape.summary_tokens)


def seats_of(workload: Workload, seed: int) -> list[Seat]:
    """All seats, the kinds interleaved so that any number of the first ones has about the mix."""
    ids = iter(range(1, 1 << 62))
    given = dict.fromkeys(workload.mix, 0)
    seats = []
    for number in range(workload.seats):
        kind = max(workload.mix, key=lambda k: workload.mix[k] * (number + 1) - given[k])
        given[kind] += 1
        rng = random.Random(f"{seed}/{number}")  # noqa: S311  (a simulation, not a secret)
        seats.append(Seat(workload, kind, rng, ids))
    return seats


def draw_requests(
    workload: Workload, duration_s: float, seed: int = 0, *, answer_s: float = 10.0
) -> Sequence[ArrivingRequest]:
    """Requests in the order of arrival, as if every answer took ``answer_s``.

    For replaying and for benchmarks. ``simulate`` takes the workload itself, and sends each request
    after the simulated end of the one before it.
    """
    requests: list[ArrivingRequest] = []
    for number, seat in enumerate(seats_of(workload, seed)):
        at_s = seat.first_s()
        while at_s < duration_s:
            if number < workload.active_seats(at_s, duration_s):
                requests.append(seat.next_request(at_s))
            at_s += answer_s + seat.pause_s()
    return sorted(requests)
