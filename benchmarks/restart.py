"""The first token of a second conversation after a restart: ``python benchmarks/restart.py``.

``PYTHONPATH=src:. python benchmarks/restart.py [--model smollm2-135m] [--tokens 2000]``: starts
llama.cpp with ``stoker up``, has one conversation with a head of so many tokens, stops it, starts
it again, and asks the first question of another conversation with the same head: with what was
read kept, and without. Then a question is sent just when a save has begun, beside one that is not.

Goals: a tenth of the cold time to the first token; no request more than 50 ms later for a save.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.sent_rows import Row, send
from benchmarks.startup import Home

#: A line of the head is about 20 tokens.
LINE = "Rule {n}: when asked about topic {n}, take care and read file {n}.\n"
LINE_TOKENS = 20
#: Of the cold time.
GOAL = 0.1
KEEPS_NOTHING = ("--engine-arg", "slot_save_path=")


def conversation(tokens: int, said: str) -> dict[str, Any]:
    """The first request of one, with a head of about so many tokens."""
    head = "".join(LINE.format(n=100 + n) for n in range(tokens // LINE_TOKENS))
    messages = [{"role": "system", "content": head}, {"role": "user", "content": said}]
    return {"messages": messages}


class Runs:
    """A home, the model in it, and the size of the head."""

    def __init__(self, home: Home, model: str, tokens: int) -> None:
        self.home, self.model, self.tokens = home, model, tokens
        self.url = f"http://127.0.0.1:{home.port}"

    def up(self, *more: str) -> None:
        """Start it."""
        port = ("--port", str(self.home.port))
        self.home.run("up", self.model, "--offline", "--json", "--context", "8192", *port, *more)

    def ask(self, said: str) -> Row:
        """What one question costs."""
        return send(self.url, conversation(self.tokens, said))

    def second_conversation(self, *more: str) -> Row:
        """Its first question, after a first conversation and a restart."""
        self.up(*more)
        self.ask("Who are you?")
        self.home.run("down")
        self.up(*more)
        row = self.ask("What is topic 120?")
        self.home.run("down")
        return row

    def beside_a_save(self, folder: Path) -> tuple[Row, Row]:
        """A question when nothing else happens, and one just when a save has begun."""
        self.up()
        self.tokens += 10 * LINE_TOKENS  # another head
        self.ask("Who are you?")
        alone = self.ask("What is topic 120?")
        known = set(folder.glob("cache/prompts/*/*.slot"))
        deadline = time.monotonic() + 30
        while set(folder.glob("cache/prompts/*/*.slot")) <= known and time.monotonic() < deadline:
            time.sleep(0.001)
        beside = self.ask("What is topic 130?")
        self.home.run("down")
        return alone, beside


def report(model: str = "smollm2-135m", tokens: int = 2000) -> None:
    """Print the four figures, and which goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = Runs(Home(folder), model, tokens)
        try:
            rows = [runs.second_conversation(*more) for more in (KEEPS_NOTHING, ())]
            for title, row in zip(("cold", "kept"), rows, strict=True):
                read = row.prompt_tokens - row.cached_tokens
                print(f"{title}: first token {row.first_token_s:.2f} s, {read} tokens read")
            cold, kept = rows
            if kept.first_token_s > GOAL * cold.first_token_s:
                print(f"MISSED: {kept.first_token_s / cold.first_token_s:.0%} of the cold time")
            alone, beside = runs.beside_a_save(folder)
            print(f"alone {alone.first_token_s:.3f} s, beside a save {beside.first_token_s:.3f} s")
        finally:
            runs.home.run("down")


def main() -> None:
    """Read the options."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--model", default="smollm2-135m")
    options.add_argument("--tokens", type=int, default=2000, help="of the head")
    asked = options.parse_args()
    report(asked.model, asked.tokens)


if __name__ == "__main__":
    main()
