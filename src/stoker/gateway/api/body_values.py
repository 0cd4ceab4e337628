"""How many values a request's body may hold, which is found out before it is parsed. Pure.

A body of 16 MB may be text or five million empty lists. To parse those alone takes a second, and
every walk over them several, in which no other request of the gateway is answered.
"""

from __future__ import annotations

import re

#: Lists and objects of one body. Each takes some 3 us from its parsing to its sending. 54 KB of
#: tools, as VS Code sends them, have 2,400; an agent's message has four.
MOST_CONTAINERS = 50_000
#: Commas of one body, each between two values: 300,000 tokens are the most that OpenAI embeds.
MOST_COMMAS = 400_000
#: A body of no more bytes can't hold too many: each list or object has two.
SURELY_FEW_BYTES = 2 * MOST_CONTAINERS
#: Of a valid body at most a name and a value at each comma.
_MOST_STRINGS = 2 * (MOST_COMMAS + MOST_CONTAINERS)
#: A string as a whole, also one without an end; or what is counted.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{,]', re.DOTALL)


def may_have_too_many(body: bytes) -> bool:
    """Whether a look into its strings is needed: texts of code are full of brackets and commas."""
    return most_containers(body) > MOST_CONTAINERS or body.count(b",") > MOST_COMMAS


def most_containers(json: bytes) -> int:
    """How many lists and objects there are at most: those brackets in strings count too."""
    return json.count(b"[") + json.count(b"{")


def has_too_many(body: bytes) -> bool:
    """Whether there are too many values outside its strings.

    It ends at the first one too many. Call it in a thread, where other threads run meanwhile.
    """
    strings = containers = commas = 0
    for token in _TOKEN.finditer(body):
        kind = body[token.start()]
        if kind == ord('"'):
            strings += 1
        elif kind == ord(","):
            commas += 1
        else:
            containers += 1
        if strings > _MOST_STRINGS or containers > MOST_CONTAINERS or commas > MOST_COMMAS:
            return True
    return False
