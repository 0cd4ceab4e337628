"""What could be started for a request, and what stands in the way of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stoker import models, planning
from stoker.application.launch_request import HostFacts, LaunchRequest
from stoker.application.ranking import engines_for
from stoker.engines.placement import why_not_startable
from stoker.errors import StokerError
from stoker.models import KnownModel, Model
from stoker.planning import Candidate

#: After this many failures a source is not asked again: it is down, and no model is at fault.
_MOST_FAILURES = 3
_GIB = 1024**3
#: No published form is wider: an upper bound for files whose size is not known.
_MOST_BYTES_A_PARAMETER = 2


@dataclass(frozen=True, slots=True)
class Offer:
    """A model from one source, on one engine."""

    candidate: Candidate
    #: Why ``stoker up`` can't start it on that machine.
    obstacle: StokerError | None = None


def candidates(request: LaunchRequest, machine: HostFacts) -> list[Offer]:
    """Every model that ``request`` can mean on ``machine``, with what stands in the way.

    The best source of a model comes first.

    Raises ``StokerError`` for a name that means nothing. The hub is asked for a model that the
    catalogue doesn't know, and for nothing else.
    """
    startable = _Startable(request, machine)
    offers = []
    for candidate in _meant(request, machine):
        model = candidate.model
        if request.failed and _gone(model, request.failed):
            continue
        missing = _not_to_be_had(model, request, machine)
        engines = startable.engines(model)
        if not engines:
            offers.append(Offer(candidate, missing))
        for engine, problem in engines.items():
            on_engine = Candidate(model, candidate.known, candidate.made_for, engine)
            offers.append(Offer(on_engine, missing or problem))
    return offers


def _meant(request: LaunchRequest, machine: HostFacts) -> list[Candidate]:
    catalogue = models.known_models()
    if request.model is not None:
        return _known(_named(request.model, request, machine), catalogue)
    forms = planning.candidates_of(catalogue)
    if not machine.here:
        return [*_known(models.offered(), catalogue), *forms]
    kept = models.with_files([form.model for form in forms])
    files = [
        # What was downloaded by name although something speaks against it is not chosen unasked.
        form
        if model is form.model or (form.known and form.known.avoid)
        else replace(form, model=model)
        for form, model in zip(forms, kept, strict=True)
    ]
    return [*_known(models.candidates(hub_reachable=True), catalogue), *files]


def _named(name: str, request: LaunchRequest, machine: HostFacts) -> list[Model]:
    found = [] if models.is_path(name) else models.named(name, here=machine.here)
    return found or models.resolve(
        name, hub_reachable=machine.host.hub_reachable, offline=request.offline
    )


def _known(found: Iterable[Model], catalogue: Iterable[KnownModel]) -> list[Candidate]:
    """The models with what the catalogue knows of each, by its repository or a short name."""
    facts: dict[str, tuple[KnownModel, str | None]] = {}
    for known in catalogue:
        facts |= dict.fromkeys(
            (name.casefold() for name in (*known.aliases, known.id)), (known, None)
        )
        facts |= {form.id.casefold(): (known, form.made_for) for form in known.variants}
    nothing = (None, None)
    return [Candidate(model, *facts.get(model.id.casefold(), nothing)) for model in found]


def with_facts(model: Model) -> Candidate:
    """The model with what the catalogue knows of it."""
    return _known([model], models.known_models())[0]


def _gone(model: Model, failed: Sequence[Model]) -> bool:
    """Whether ``model`` was tried at its source, or the source failed too often for others.

    Planning fills in a size that is not known, so that is no part of what is compared.
    """
    key = (model.id, model.quantization, model.origin)
    same = any(key == (other.id, other.quantization, other.origin) for other in failed)
    return same or sum(other.origin == model.origin for other in failed) >= _MOST_FAILURES


class _Startable:
    """The engines that can serve a model, and whether they can be started; each looked at once."""

    def __init__(self, request: LaunchRequest, machine: HostFacts) -> None:
        self._request = request
        self._machine = machine
        self._found: dict[str, dict[str, StokerError | None]] = {}

    def engines(self, model: Model) -> dict[str, StokerError | None]:
        """The name of each engine for ``model``, with why it can't be started."""
        if model.format not in self._found:
            self._found[model.format] = {
                engine.name: self._obstacle(engine.name)
                for engine in engines_for(model, self._request.engine)
            }
        return self._found[model.format]

    def _obstacle(self, engine: str) -> StokerError | None:
        return why_not_startable(
            engine,
            self._machine.host,
            here=self._machine.here,
            python=self._request.python,
            native=self._request.native,
        )


def _not_to_be_had(model: Model, request: LaunchRequest, machine: HostFacts) -> StokerError | None:
    """Why the files of ``model`` can't come to that machine; ``None`` where they can."""
    if model.path is not None:
        return None
    if request.offline and machine.here:
        why = "Nothing may be downloaded (--offline)."
        return _not_there(model, why, "Leave --offline out, or give the path of its files.")
    if model.origin == "hub" and machine.host.hub_reachable is not True:
        why = "The hub, which has it, can't be reached or may not be asked (HF_HUB_OFFLINE)."
        fix = "Connect to the internet, set HF_ENDPOINT to a mirror, or give a path of its files."
        return _not_there(model, why, fix)
    return _no_disk_space(model, machine)


def _not_there(model: Model, why: str, fix: str) -> StokerError:
    return StokerError(f"{model.id} is not on this machine.", why, fix)


def _no_disk_space(model: Model, machine: HostFacts) -> StokerError | None:
    disk = machine.host.disk
    if disk is None or disk.free_bytes > (model.parameters or 0) * _MOST_BYTES_A_PARAMETER:
        return None
    needed = planning.weights_bytes(model)
    if needed is None or needed < disk.free_bytes:
        return None
    return StokerError(
        f"There is not enough disk space for {model.id}.",
        f"It needs {needed / _GIB:.1f} GiB and {disk.path} has {disk.free_bytes / _GIB:.1f} free.",
        "Free some space, or set STOKER_HOME to a folder on a larger disk.",
    )
