"""Run every check against endpoints, and store the results for the documentation.

    python scripts/check_matrix.py "vLLM 0.32.0 (CPU)=http://127.0.0.1:8001" \
        "Stoker in front of it=http://127.0.0.1:8000" [--key-env NAME] [--timeout SECONDS]

Each NAME=URL adds or replaces one column of docs/data/check_results.json. What was seen is stored
with each result, so that a failure can be looked up. Addresses are not stored.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stoker import checks
from stoker.checks import CHECKS, CheckReport, Endpoint
from stoker.generator_result import GeneratorResult

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "data" / "check_results.json"
_ADDRESS = re.compile(r"https?://[^\s/\"']+")
_SHOWN_CHARACTERS = 200


def column(url: str, key: str | None, timeout_s: float) -> dict[str, Any]:
    """The results of one endpoint, as they are stored."""
    found = checks.look_at(url, key)
    model, window = checks.choose_model(found, None)
    endpoint = Endpoint(found.backend.url, model, key=key, window=window, timeout_s=timeout_s)
    run = GeneratorResult(checks.run(endpoint, found=found))
    for number, result in enumerate(run, 1):
        progress = f"{number}/{len(CHECKS)} {result.check.id}: {result.status.value}"
        print(f"  {progress}", file=sys.stderr)
    return {"window_tokens": window, **_kept(run.value)}


def _kept(report: CheckReport) -> dict[str, Any]:
    return {
        "model": report.model,
        "server": report.found.words,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "seconds": round(report.seconds),
        "verdicts": {use.value: verdict.word for use, verdict in report.verdicts.items()},
        "checks": {
            r.check.id: {"result": r.status.value, "said": _without_addresses(r.seen)}
            for r in report.results
        },
    }


def _without_addresses(seen: str) -> str:
    return _ADDRESS.sub("URL", " ".join(seen.split()))[:_SHOWN_CHARACTERS]


def main() -> int:
    """Check each endpoint and write its column."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("endpoints", nargs="+", metavar="NAME=URL")
    parser.add_argument("--key-env", metavar="NAME", help="environment variable with the key")
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="time limit for one answer, in seconds"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    kept = json.loads(options.out.read_text()) if options.out.exists() else {}
    key = os.environ[options.key_env] if options.key_env else None
    for named in options.endpoints:
        name, _, url = named.rpartition("=")
        print(f"{name or url}", file=sys.stderr)
        kept[name or url] = column(url, key, options.timeout)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(kept, indent=1, ensure_ascii=False)
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
