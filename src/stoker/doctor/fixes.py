"""What ``--fix`` does: only changes that can be undone, and only to what is Stoker's."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial

from stoker import server, vscode
from stoker.doctor.finding import Finding
from stoker.doctor.snapshot import Readings
from stoker.errors import StokerError
from stoker.server import Deployment
from stoker.vscode import Look


def fixable(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding for each fix, in the order in which to apply them.

    Connecting an editor also installs the extension, so it replaces the fix that only installs it.
    Chat without an account is a separate question: a no must not leave the editor unconnected.
    """
    wanted: dict[tuple[str, str | None], Finding] = {}
    for finding in findings:
        if finding.kind.safe_fix is None:
            continue
        thing = "extension" if finding.kind.safe_fix in _OF_EXTENSION else finding.kind.safe_fix
        before = wanted.get((thing, finding.editor))
        if before is None or _rank(finding) > _rank(before):
            wanted[thing, finding.editor] = finding
    return tuple(sorted(wanted.values(), key=_rank))


def question(finding: Finding) -> str:
    """The question to ask before the fix is applied."""
    return _QUESTIONS[finding.kind.safe_fix or ""].format(editor=finding.editor)


def apply_fix(finding: Finding, readings: Readings) -> Generator[Deployment, None, str]:
    """Apply the fix: yield every state of a deployment that restarts; return what was done.

    Raises ``StokerError`` where it fails.
    """
    if finding.kind.safe_fix == "restart":
        return (yield from _restart(readings))
    return _ACTIONS[finding.kind.safe_fix or ""](finding, readings)


def _rank(finding: Finding) -> int:
    return _ORDER.index(finding.kind.safe_fix or "")


_ORDER = ("restart", "install", "connect", "signed-out", "copilot-harness")
_OF_EXTENSION = ("install", "connect")
_QUESTIONS = {
    "restart": "Restart the deployment with the same plan?",
    "install": "Install the extension that ships with Stoker in {editor}?",
    "connect": "Connect {editor}: install the extension and set the endpoint?",
    "signed-out": (
        "Let {editor}'s chat work without signing in to GitHub, and let the chosen model write "
        "titles and summaries?"
    ),
    "copilot-harness": (
        "Offer your models in {editor}'s Copilot harness too (experimental), without signing in?"
    ),
}


def _restart(readings: Readings) -> Generator[Deployment, None, str]:
    deployment = readings.deployment
    if deployment is None:
        raise StokerError("There is no deployment to restart.", "", "Start one: stoker up")
    spec = deployment.spec
    server.check_can_start(spec.bind, spec.port)  # before anything is stopped
    server.stop()
    latest = started = server.start(spec)
    for latest in server.follow(started):
        yield latest
    if latest.state.status == "failed" and latest.state.problem is not None:
        raise StokerError.of(latest.state.problem)
    return "The deployment is running again."


def _install(finding: Finding, readings: Readings) -> str:
    vscode.install(_look(finding, readings).editor)
    return f"{finding.editor}: the extension is installed."


def _connect(finding: Finding, readings: Readings) -> str:
    return _connected(finding, readings, _address(readings))


def _agreed(consent: vscode.Consent, finding: Finding, readings: Readings) -> str:
    used = _look(finding, readings).effective(vscode.ENDPOINT)
    there = readings.endpoints.get(str(used[0])) if used else None
    # An address that works is the user's choice, and stays.
    address = str(used[0]) if used and there and there.works else _address(readings)
    return _connected(finding, readings, address, consent)


def _connected(
    finding: Finding, readings: Readings, address: str, *consents: vscode.Consent
) -> str:
    done = vscode.connect(_look(finding, readings).editor, address, consents=consents)
    files = " and ".join(each.settings for each in done)
    return f"{finding.editor}: connected. Undo: stoker code --remove. Changed: {files}"


def _look(finding: Finding, readings: Readings) -> Look:
    return next(look for look in readings.editors if look.editor.name == finding.editor)


def _address(readings: Readings) -> str:
    """The address to connect the editor to: the one asked about, else the deployment's."""
    if readings.asked is not None:
        return readings.asked
    if readings.deployment is not None:
        return readings.deployment.spec.endpoint
    raise StokerError(
        "There is no endpoint to connect to.",
        "Stoker runs nothing here, and no --endpoint was given.",
        "Start one: stoker up. Or name one: stoker doctor --endpoint http://HOST:PORT --fix",
    )


_ACTIONS: Mapping[str, Callable[[Finding, Readings], str]] = {
    "install": _install,
    "connect": _connect,
    "signed-out": partial(_agreed, "signed-out"),
    "copilot-harness": partial(_agreed, "copilot-harness"),
}
