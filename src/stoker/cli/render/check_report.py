"""The results of ``stoker test``: as text, JSON, JUnit XML or an HTML page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from typing import Any
from xml.sax.saxutils import quoteattr

from stoker.checks import Check, CheckReport, Result, Status, Use
from stoker.cli.render import html_page, output
from stoker.counted import counted
from stoker.engines import Recognised

_MARKS = {
    Status.PASSED: "ok  ",
    Status.FAILED: "FAIL",
    Status.UNSUPPORTED: "no  ",
    Status.SKIPPED: "-   ",
}
_STYLE = """
b.pass{color:var(--k)}b.fail{color:#d43b3b}b.no{color:#888}
td.name{white-space:nowrap}small{display:block;opacity:.8}
"""
_CLASSES = {Status.PASSED: "pass", Status.FAILED: "fail"}


class CheckProgress:
    """Prints a line for each check as it ends, under the name of its group."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._ended = 0
        self._quiet = quiet
        self._group = ""

    def begin(self, found: Recognised, model: str, window: int | None) -> None:
        """Print which endpoint is checked."""
        if self._quiet:
            return
        context = (
            f"a context window of {window:,} tokens"
            if window
            else "a context window of unknown size"
        )
        output.say(f"{model} at {found.backend.url} ({found.words}), {context}")

    def result(self, result: Result) -> None:
        """Print the result of a check. Where ``quiet``, only a count on a terminal's stderr."""
        self._ended += 1
        if self._quiet:
            if sys.stderr.isatty():
                print(f"\r{self._ended} of {self._total} ", end="", file=sys.stderr, flush=True)
            return
        if result.check.group != self._group:
            self._group = result.check.group
            output.say(f"\n{self._group}")
        seen = " ".join(result.seen.split())[:160]
        output.say(f"  {_MARKS[result.status]} {result.check.id:24} {seen}")


def show(report: CheckReport) -> None:
    """Print the failures with their fixes, the verdicts, and the cost of the run."""
    failed = [r for r in report.results if r.status is Status.FAILED]
    if failed:
        output.say("\nWhat failed, and how to fix it")
    for result in failed:
        output.say(f"\n  {result.check.id}: {result.check.promise}")
        output.say(f"    Seen: {' '.join(result.seen.split())}")
        output.say(f"    Why it matters: {result.check.why}")
        output.say(f"    Fix: {result.check.fix}")
    output.say("\nWhat it can be used for")
    for use, verdict in report.verdicts.items():
        output.say(f"  {use.value:18} {_words(verdict.word, verdict.missing)}")
    output.say(f"\n{_summary(report)}")


def _words(word: str, missing: Sequence[str]) -> str:
    shown = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
    return f"{word}: {shown}" if missing else word


def _summary(report: CheckReport) -> str:
    counts = ", ".join(
        f"{report.count(status)} {status.value}" for status in Status if report.count(status)
    )
    cost = (
        f"{counted(report.requests, 'request')}, {report.prompt_tokens:,} prompt and "
        f"{report.completion_tokens:,} completion tokens, {output.duration(report.seconds)}"
    )
    stopped = f" Stopped early: {report.stopped}." if report.stopped else ""
    return f"{counted(len(report.results), 'check')}: {counts}. {cost}.{stopped}"


def show_list(checks: Sequence[Check], *, as_json: bool) -> None:
    """Print the checks, without any result."""
    if as_json:
        output.as_json([_check(check) for check in checks])
        return
    for check in checks:
        output.say(f"{check.id:24} {check.promise}")


def as_dict(report: CheckReport) -> dict[str, Any]:
    """The report for ``--json``. Its keys are a public interface."""
    return {
        "url": report.url,
        "model": report.model,
        "server": report.found.backend.engine,
        "version": report.found.version,
        "behind": list(report.found.behind),
        "good": report.good,
        "stopped": report.stopped,
        "verdicts": {
            use.value: {"verdict": v.word, "missing": list(v.missing)}
            for use, v in report.verdicts.items()
        },
        "requests": report.requests,
        "prompt_tokens": report.prompt_tokens,
        "completion_tokens": report.completion_tokens,
        "seconds": round(report.seconds, 2),
        "checks": [
            {
                **_check(r.check),
                "result": r.status.value,
                "said": r.seen,
                "seconds": round(r.seconds, 3),
            }
            for r in report.results
        ],
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "group": check.group,
        "promise": check.promise,
        "why": check.why,
        "fix": check.fix,
        "needed_for": [use.value for use in Use if use in check.needed_for],
        "helps": [use.value for use in Use if use in check.helps],
    }


def as_junit(report: CheckReport) -> str:
    """The report as JUnit XML (https://github.com/testmoapp/junitxml), for CI servers."""
    failures, left = report.count(Status.FAILED), len(report.results)
    skipped = report.count(Status.UNSUPPORTED) + report.count(Status.SKIPPED)
    cases = "".join(_case(result) for result in report.results)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites><testsuite name={_attribute(report.url)} tests="{left}" '
        f'failures="{failures}" errors="0" skipped="{skipped}" time="{report.seconds:.3f}">'
        f"\n{cases}</testsuite></testsuites>\n"
    )


def _case(result: Result) -> str:
    check = result.check
    inner = ""
    if result.status is Status.FAILED:
        advice = escape(_printable(f"{check.promise}\nFix: {check.fix}"))
        inner = f"<failure message={_attribute(result.seen)}>{advice}</failure>"
    elif result.status is not Status.PASSED:
        inner = f"<skipped message={_attribute(result.seen)}/>"
    name = _attribute(check.id.split(".", 1)[1])
    where = _attribute(check.id.split(".", 1)[0])
    return (
        f'<testcase classname={where} name={name} time="{result.seconds:.3f}">{inner}</testcase>\n'
    )


def _attribute(text: str) -> str:
    return quoteattr(_printable(text))


def _printable(text: str) -> str:
    """``text`` without the control characters that XML forbids."""
    return "".join(c for c in text if c in "\n\t" or ord(c) >= 32)


def as_page(report: CheckReport) -> str:
    """The report as an HTML page."""
    title = f"{report.model} at {report.url}" if report.model else report.url
    uses = "".join(
        f"<tr><th>{escape(use.value)}<td>{escape(_words(v.word, v.missing))}"
        for use, v in report.verdicts.items()
    )
    rows = "".join(_row(result) for result in report.results)
    body = (
        f"<p>{escape(report.found.words)}<table>{uses}</table><p>{escape(_summary(report))}"
        f"<table><tr><th>Check<th>Result<th>Seen{rows}</table>"
    )
    return html_page.document("test", title, _STYLE, body)


def _row(result: Result) -> str:
    check, failed = result.check, result.status is Status.FAILED
    fix = f"<small>{escape(check.why)}<br>Fix: {escape(check.fix)}</small>" if failed else ""
    css = _CLASSES.get(result.status, "no")
    return (
        f"<tr><td class=name><code>{escape(check.id)}</code>"
        f"<td class=name><b class={css}>{result.status.value}</b>"
        f"<td>{escape(check.promise)}<small>{escape(result.seen)}</small>{fix}"
    )
