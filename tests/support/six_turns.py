"""A task of six turns for an editor's agent: what is asked, in which folder, and what is right.

Each turn needs another set of tools (create, edit, search, errors, todo list, terminal), and reads
enough (a file of some hundred lines, a long terminal output) to press a window of 8,192 tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: What the user types, turn by turn. The model recognises a turn by its ``cue``, which only that
#: turn's message contains.
ROUNDING = "half-even"
CALL_SITES = 7
CHECKS = 120
_NEW_FILE = "src/discounts.py"
_LIMIT = "if not 0 <= rate <= 1:"


@dataclass(frozen=True)
class Turn:
    """One message of the user, and how to check that it was done."""

    cue: str
    text: str
    #: What a correct answer must contain; it is only in the tools' results.
    answer: str
    done: Callable[[Path], bool] = lambda _: True


def _created(folder: Path) -> bool:
    path = folder / _NEW_FILE
    return path.is_file() and ROUNDING in path.read_text()


def _edited(folder: Path) -> bool:
    return _created(folder) and (folder / _NEW_FILE).read_text().count(_LIMIT) == 1


TURNS = (
    Turn(
        "apply_discount",
        "Create src/discounts.py with a function apply_discount(price, rate). "
        "Follow src/pricing.py for the style and the rounding.",
        ROUNDING,
        _created,
    ),
    Turn(
        "refuses rates",
        "Change that function so that it refuses rates below 0 or above 1.",
        "between 0 and 1",
        _edited,
    ),
    Turn(
        "every place",
        "Find every place in the Python files where load_config is called, and count them.",
        f"{CALL_SITES} places",
    ),
    Turn(
        "any errors",
        "Does the editor show any errors in src/inventory.py, and which class does the file end "
        "with?",
        "class Closing",
    ),
    Turn(
        "todo list",
        "Make a todo list with three steps for adding a currency option, and mark the first as "
        "in progress.",
        "first step is in progress",
    ),
    Turn(
        "run_checks",
        "Run python3 run_checks.py in the terminal, then read the start of checks.log and tell "
        "me how many checks passed and for which release.",
        f"{CHECKS} checks passed for release 4.7.1",
    ),
)


def write_workspace(folder: Path) -> None:
    """Write the project that the task is about into ``folder``."""
    files = {
        "README.md": "# Shop\n\nPrices, stock and reports of a small shop.\n",
        "pyproject.toml": '[project]\nname = "shop"\nversion = "4.7.1"\n',
        "run_checks.py": _RUN_CHECKS,
        "src/config.py": _CONFIG,
        "src/pricing.py": _pricing(),
        "src/inventory.py": _inventory(),
        "tests/test_pricing.py": _TEST,
    }
    files |= {f"src/reports/{name}.py": _report(name) for name in _REPORTS}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


_REPORTS = ("daily", "weekly", "monthly", "returns", "suppliers", "taxes", "stock")
_GOODS = (
    *("books", "lamps", "chairs", "tables", "shelves", "carpets", "curtains", "mirrors"),
    *("plates", "glasses", "kettles", "toasters", "radios", "clocks", "bicycles", "helmets"),
)

_CONFIG = '''"""Settings of the shop, read from one file."""

import json
from pathlib import Path


def load_config(name: str) -> dict:
    """Return the settings of one report; an empty table where there are none."""
    path = Path("config") / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}
'''

_TEST = """from src.pricing import price_of_books


def test_a_book_costs_what_its_pages_cost():
    assert price_of_books(2, 10.0) == 20.0
"""

_RUN_CHECKS = f'''"""Checks the shop's data, one line a check, and keeps the lines in checks.log."""

GOODS = {_GOODS!r}
LINES = []
for number in range({CHECKS}):
    goods = GOODS[number % len(GOODS)]
    LINES.append(f"check {{number + 1:03d}}: stock and price of {{goods}} agree ... ok")
print("\\n".join(LINES))
print(f"{{len(LINES)}} checks passed")
with open("checks.log", "w") as log:
    log.write("release 4.7.1\\n" + "\\n".join(LINES) + "\\n")
'''


def _pricing() -> str:
    head = f'''"""Prices of everything that the shop sells.

All prices are in cents and rounded {ROUNDING}, as the tax office wants it.
"""

from decimal import ROUND_HALF_EVEN, Decimal

CENT = Decimal("0.01")
'''
    return head + "".join(_price_function(number, goods) for number, goods in enumerate(_GOODS))


def _price_function(number: int, goods: str) -> str:
    return f'''

def price_of_{goods}(amount: int, price_each: float, member: bool = False) -> float:
    """Return what ``amount`` {goods} cost; members pay {3 + number % 5} per cent less.

    Raises ``ValueError`` for an amount below one.
    """
    if amount < 1:
        raise ValueError(f"{{amount}} {goods} cannot be sold: order at least one.")
    total = Decimal(str(price_each)) * amount
    if amount >= {10 + 5 * (number % 4)}:
        total *= Decimal("0.9{number % 10}")
    if member:
        total *= Decimal("0.9{7 - number % 5}")
    return float(total.quantize(CENT, rounding=ROUND_HALF_EVEN))
'''


def _inventory() -> str:
    head = '"""What lies in the store, and where."""\n\nfrom dataclasses import dataclass, field\n'
    shelves = "".join(_shelf(number, goods) for number, goods in enumerate(_GOODS))
    return head + shelves + "\n\nclass Closing:\n    stock = None\n"


def _shelf(number: int, goods: str) -> str:
    name = goods.capitalize()
    return f'''

@dataclass
class {name}Shelf:
    """Where the {goods} lie: row {number + 1}, counted from the door."""

    row: int = {number + 1}
    places: int = {20 + 3 * number}
    held: dict[str, int] = field(default_factory=dict)

    def put(self, article: str, amount: int) -> int:
        """Put {goods} on the shelf and return how many places stay free."""
        if amount > self.free():
            raise ValueError(f"Row {{self.row}} has no room for {{amount}} more {goods}.")
        self.held[article] = self.held.get(article, 0) + amount
        return self.free()

    def free(self) -> int:
        return self.places - sum(self.held.values())
'''


def _report(name: str) -> str:
    return f'''"""The {name} report."""

from src.config import load_config


def write_{name}(rows: list[dict]) -> str:
    """Return the {name} report of ``rows`` as text."""
    settings = load_config("{name}")
    width = settings.get("width", 80)
    lines = [str(row)[:width] for row in rows]
    return "\\n".join(lines)
'''
