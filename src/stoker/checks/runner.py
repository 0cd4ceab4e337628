"""Run the checks against one endpoint, and judge what it can be used for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from stoker.checks.check import Check, CheckReport, Result, Status, Use, Verdict
from stoker.checks.exceptions import Failed, NotShown, NotSupported
from stoker.checks.suite import CHECKS
from stoker.checks.target import Endpoint
from stoker.engines import Backend, Recognised
from stoker.errors import StokerError, UsageError

#: A run ends after this, whatever is left: on 2 cores all checks take 2 to 6 minutes.
LIMIT_S = 900.0
_FIRST = "reach.answers"

Tell = Callable[[int, int, Result], None]


def chosen(only: Sequence[str] = (), skip: Sequence[str] = ()) -> tuple[Check, ...]:
    """The checks to run: ``only`` and ``skip`` name checks (``stream.done``) or groups
    (``stream``). Raises ``UsageError`` for a name that no check has.
    """
    for name in (*only, *skip):
        if not any(_is(check, name) for check in CHECKS):
            groups = ", ".join(dict.fromkeys(check.id.split(".")[0] for check in CHECKS))
            raise UsageError(
                f"There is no check or group called {name!r}.",
                f"The groups are: {groups}.",
                "See all checks: stoker test --list.",
            )
    kept = (c for c in CHECKS if not only or any(_is(c, name) for name in only))
    return tuple(c for c in kept if not any(_is(c, name) for name in skip))


def _is(check: Check, name: str) -> bool:
    return check.id == name or check.id.startswith(f"{name}.")


def look_at(url: str, key: str | None) -> Recognised:
    """What answers at ``url`` and what it says of its models. Raises ``StokerError``."""
    from stoker.engines.server_detection import recognise  # noqa: PLC0415  (an HTTP client)

    return asyncio.run(recognise(url, key))


def choose_model(found: Recognised, wanted: str | None) -> tuple[str, int | None]:
    """The model to check and its context. Raises ``UsageError`` for one that is not there."""
    names = [model.id for model in found.models]
    if wanted is not None and wanted not in names:
        raise UsageError(
            f"The model {wanted!r} is not served at {found.backend.url}.",
            f"Served there: {', '.join(names)}.",
            "Name one of them with --model.",
        )
    model = next((m for m in found.models if wanted in (None, m.id)), None)
    if model is None:
        raise UsageError(
            f"No model is served at {found.backend.url}.", fix="Load one, then try again."
        )
    return model.id, model.max_model_len


def run(
    endpoint: Endpoint,
    checks: Sequence[Check] = CHECKS,
    *,
    tell: Tell | None = None,
    found: Recognised | None = None,
    limit_s: float = LIMIT_S,
) -> CheckReport:
    """Run ``checks`` one after the other; ``tell`` hears of each as it ends.

    ``found`` is what answers there, for the report; no check looks at it.
    """
    began = time.perf_counter()
    results: list[Result] = []
    stopped: str | None = None
    for index, check in enumerate(checks):
        if stopped is None and time.perf_counter() - began > limit_s:
            stopped = f"{limit_s:.0f} seconds had passed"
        result = (
            _run_one(check, endpoint)
            if stopped is None
            else Result(check, Status.SKIPPED, stopped, 0.0)
        )
        results.append(result)
        if check.id == _FIRST and result.status is Status.FAILED:
            stopped = "the server does not answer"
        if tell is not None:
            tell(index + 1, len(checks), result)
    client = endpoint.client
    return CheckReport(
        url=endpoint.url,
        model=endpoint.model,
        found=found or Recognised(Backend(endpoint.url, "openai"), None, (), ()),
        results=tuple(results),
        verdicts={use: verdict(results, use) for use in Use},
        requests=client.requests,
        prompt_tokens=client.prompt_tokens,
        completion_tokens=client.completion_tokens,
        seconds=time.perf_counter() - began,
        stopped=stopped,
    )


def unreached(url: str, checks: Sequence[Check], error: StokerError) -> CheckReport:
    """The report of a run that ``error`` ended before its first check: that one has failed, even
    where it was not chosen, and ``checks`` were not run.
    """
    first = next(check for check in CHECKS if check.id == _FIRST)
    why = f"{_FIRST} failed"
    results = (
        Result(first, Status.FAILED, f"{error.what} {error.why}".strip(), 0.0),
        *(Result(check, Status.SKIPPED, why, 0.0) for check in checks if check is not first),
    )
    return CheckReport(
        url=url,
        model="",
        found=Recognised(Backend(url, "openai"), None, (), ()),
        results=results,
        verdicts={use: verdict(results, use) for use in Use},
        requests=0,
        prompt_tokens=0,
        completion_tokens=0,
        seconds=0.0,
        stopped=why,
    )


def _run_one(check: Check, endpoint: Endpoint) -> Result:
    began = time.perf_counter()
    try:
        status, said = Status.PASSED, check.run(endpoint)
    except NotShown as nothing:
        status, said = Status.SKIPPED, str(nothing)
    except NotSupported as no:
        status, said = Status.UNSUPPORTED, str(no)
    except Failed as failed:
        status, said = Status.FAILED, str(failed)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # An answer of a shape that nobody foresaw: the endpoint's fault, said as well as we can.
        status = Status.FAILED
        said = f"the answer can't be read: {type(error).__name__}: {error}"
    return Result(check, status, said, time.perf_counter() - began)


def verdict(results: Iterable[Result], use: Use) -> Verdict:
    """Whether ``use`` works: what it needs must pass; what helps it is named where it is missing.

    Something optional that is not there makes nothing worse; what was left out leaves it open.
    """
    bad = (Status.FAILED, Status.UNSUPPORTED)
    results = list(results)
    missing = [r for r in results if use in r.check.needed_for and r.status in bad]
    if missing:
        return Verdict("no", tuple(r.check.id for r in missing))
    ran = {r.check.id for r in results if r.status is not Status.SKIPPED}
    if any(use in check.needed_for and check.id not in ran for check in CHECKS):
        unknown = (r for r in results if use in r.check.needed_for and r.check.id not in ran)
        return Verdict("not judged", tuple(r.check.id for r in unknown))
    worse = [r for r in results if use in r.check.helps and r.status is Status.FAILED]
    if worse:
        return Verdict("limited", tuple(r.check.id for r in worse))
    return Verdict("good")
