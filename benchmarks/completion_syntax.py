"""Whether a language's own compiler accepts a text: Python's, TypeScript's and Go's ``gofmt``."""

from __future__ import annotations

import re
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

_TSC = Path(__file__).parents[1] / "extension/node_modules/typescript/lib/tsc.js"
#: Only what the parser finds: a single file of a package has no types to check.
_SYNTAX_ONLY = ["--noEmit", "--noCheck", "--noResolve", "--pretty", "false", "--types", ""]


def parses(language: str, texts: Sequence[str]) -> list[bool]:
    """Whether each text is accepted. Needs ``node`` for TypeScript and ``gofmt`` for Go."""
    return _PARSERS[language](texts) if texts else []


def _python(texts: Sequence[str]) -> list[bool]:
    return [_compiles(text) for text in texts]


def _compiles(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "file.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
    return True


def _typescript(texts: Sequence[str]) -> list[bool]:
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{at}.ts" for at in range(len(texts))]
        for name, text in zip(names, texts, strict=True):
            Path(folder, name).write_text(text)
        command = ["node", str(_TSC), *_SYNTAX_ONLY, *names]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wrong = set(re.findall(r"^(\d+\.ts)\(\d+,\d+\): error TS\d+:", ran.stdout, re.MULTILINE))
    if ran.returncode and not wrong:
        raise RuntimeError(f"tsc did not run: {ran.stdout}{ran.stderr}")
    return [name not in wrong for name in names]


def _go(texts: Sequence[str]) -> list[bool]:
    return [_gofmt_accepts(text) for text in texts]


def _gofmt_accepts(text: str) -> bool:
    command = ["gofmt", "-e"]
    ran = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return ran.returncode == 0


_PARSERS = {"python": _python, "typescript": _typescript, "go": _go}
