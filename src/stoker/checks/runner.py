"""Run the checks against one endpoint, and decide which uses it works for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterable, Sequence

from stoker.checks.check import Check, CheckReport, Result, Status, Use, Verdict
from stoker.checks.exceptions import Failed, NotShown, NotSupported
from stoker.checks.suite import CHECKS
from stoker.checks.target import Endpoint
from stoker.engines import Backend, Recognised
from stoker.errors import StokerError, UsageError

#: A run stops after this long. All checks take 2 to 6 minutes on 2 cores.
LIMIT_S = 900.0
_FIRST = "reach.answers"


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


def look_at(url: str, key: str | None, key_env: str | None = None) -> Recognised:
    """The server at ``url`` and the models that it lists. Raises ``StokerError``."""
    from stoker.engines.server_detection import recognise  # noqa: PLC0415  (an HTTP client)

    return asyncio.run(recognise(url, key, key_env))


def choose_model(found: Recognised, wanted: str | None) -> tuple[str, int | None]:
    """The model to check and its context window. Raises ``UsageError`` where it is not served."""
    names = [model.id for model in found.models]
    if wanted is not None and wanted not in names:
        raise UsageError(
            f"The model {wanted!r} is not served at {found.backend.url}.",
            f"It serves: {', '.join(names)}.",
            "Name one of them with --model.",
        )
    able = [m for m in found.models if m.id == wanted or (wanted is None and m.may_chat)]
    model = next(iter(able), None)
    if model is None:
        raise UsageError(
            f"{found.backend.url} serves no model that chats.",
            fix="Load a model there, then try again.",
        )
    return model.id, model.max_model_len


def run(
    endpoint: Endpoint,
    checks: Sequence[Check] = CHECKS,
    *,
    found: Recognised | None = None,
    limit_s: float = LIMIT_S,
) -> Generator[Result, None, CheckReport]:
    """Run ``checks`` one after the other: yield each result as its check ends; return the report.

    ``found`` goes into the report; no check uses it. No check starts after ``limit_s`` seconds.
    """
    began = time.perf_counter()
    results: list[Result] = []
    stopped: str | None = None
    for check in checks:
        if stopped is None and time.perf_counter() - began > limit_s:
            stopped = f"the time limit of {limit_s:.0f} s was reached"
        result = (
            _run_one(check, endpoint)
            if stopped is None
            else Result(check, Status.SKIPPED, stopped, 0.0)
        )
        results.append(result)
        yield result
        if check.id == _FIRST and result.status is Status.FAILED:
            stopped = "the server does not answer"
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
    """The report where ``error`` stopped the run before its first check.

    The first check has failed, even if it was not chosen; ``checks`` are skipped.
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
        status, seen = Status.PASSED, check.run(endpoint)
    except NotShown as nothing:
        status, seen = Status.SKIPPED, str(nothing)
    except NotSupported as no:
        status, seen = Status.UNSUPPORTED, str(no)
    except Failed as failed:
        status, seen = Status.FAILED, str(failed)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # An answer of an unforeseen shape is the endpoint's fault, not a defect of the check.
        status = Status.FAILED
        seen = f"the answer has an unexpected shape: {type(error).__name__}: {error}"
    return Result(check, status, seen, time.perf_counter() - began)


def verdict(results: Iterable[Result], use: Use) -> Verdict:
    """Whether ``use`` works: the checks that it needs must pass, and those that help it should.

    A missing optional feature does not count against it. A needed check that did not run leaves
    it not judged.
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
