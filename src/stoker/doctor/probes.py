"""Reads the whole chain: all probes at the same time, each with its own time limit."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

from stoker import __version__, host, models, paths, server, vscode
from stoker.doctor.endpoint_checks import ask
from stoker.doctor.snapshot import EndpointReading, ModelFile, Port, Probe, Readings, TokenState
from stoker.host import Cpu, Host, HubAnswer, Memory, ParallelProbes
from stoker.network_addresses import base_url
from stoker.server import Deployment
from stoker.vscode import Editor, EditorConnection, Look, SettingsFile, Versions

T = TypeVar("T")

#: The limit of all probes but the editors'. `stoker doctor` takes three seconds in all.
PROBES_S = 2.3
#: An editor's command starts a Node program: measured 0.4 to 0.9 s on two idle cores, 1.7 to 4 s
#: on two busy ones.
EDITOR_S = 10.0
_HOLDERS = 5
_DEFAULT_BIND = "127.0.0.1"
_DEFAULT_PORT = 8000
_UNKNOWN_HOST = Host("unknown", "unknown", Cpu("unknown", 1, 1), Memory(0, 0))


def gather(
    folder: Path,
    *,
    endpoint: str | None = None,
    key: str | None = None,
    port: int = _DEFAULT_PORT,
) -> Readings:
    """Everything that the checks need, in at most ``PROBES_S``. Never raises.

    Only an editor with a slow command takes longer, ``EDITOR_S`` at most.

    ``folder`` is the folder whose workspace settings count. ``endpoint`` is an address to check
    instead of the deployment; ``key`` is sent to that address only. ``port`` is the one that a
    deployment would take where there is none.
    """
    began = time.monotonic()
    deployment = _or_else(None, server.current)
    connected: tuple[EditorConnection, ...] = _or_else((), vscode.connections)
    here = (vscode.in_folder(each, folder) for each in vscode.find_editors())
    editors = [(each, vscode.read_settings(each, folder)) for each in here]
    bases = _addresses(deployment, [files for _, files in editors], endpoint)
    keys = _keys(deployment, endpoint, key)
    of_editors = {f"editor {e.name}": partial(vscode.versions, e, EDITOR_S) for e, _ in editors}
    of_endpoints = {
        f"endpoint {base}": partial(ask, base, keys.get(base))
        for base in {base for base in bases.values() if base is not None}
    }
    # First: Node starts while the other probes run.
    asked_editors = ParallelProbes(of_editors)
    answers = ParallelProbes({**_probes(deployment, port), **of_endpoints}).wait(PROBES_S, [])
    answers |= asked_editors.wait(EDITOR_S, [])
    return Readings(
        host=answers.get("the machine", _UNKNOWN_HOST),
        shipped=vscode.shipped(),
        stoker_version=__version__,
        port=answers.get("the port") or Port(_DEFAULT_BIND, port, free=True),
        deployment=deployment,
        running=deployment is not None and deployment.state.alive,
        engine_alive=_engine_alive(deployment),
        engine_pids=server.engine_pids(deployment) if deployment else frozenset(),
        memory_holders=answers.get("memory", ()),
        container_status=answers.get("the container"),
        model_file=_model_file(deployment),
        unwritable=_unwritable(),
        kept=answers.get("downloads"),
        models_here=answers.get("models", 0),
        # No answer in time means unreachable; an answer of None means that the hub was not asked.
        hub=answers.get("the model hub", HubAnswer(reachable=False)),
        offline=answers.get("the model hub", ...) is None,
        token=answers.get("the hub's token", "set"),
        proxies=_proxies(os.environ),
        no_proxy=os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "",
        editors=tuple(_look(each, files, answers) for each, files in editors),
        connected=tuple(connection.settings for connection in connected),
        endpoints={text: _endpoint(text, base, answers) for text, base in bases.items()},
        asked=endpoint,
        unseen=tuple(name for name in get_args(Probe) if name not in answers),
        took_s=round(time.monotonic() - began, 1),
    )


def _probes(deployment: Deployment | None, port: int) -> dict[str, Callable[[], Any]]:
    """The probes that can be slow and depend on no editor and no address."""
    return {
        "the machine": lambda: host.detect(paths.cache_dir(), ask_hub=False),
        "memory": partial(host.memory_holders, _HOLDERS),
        "the model hub": host.ask_hub,
        "the hub's token": _token_state,
        "models": lambda: len(models.available()),
        "downloads": models.kept,
        "the port": lambda: _port(deployment, port),
        "the container": lambda: deployment and server.container_status(deployment),
    }


def _look(editor: Editor, files: tuple[SettingsFile, ...], answers: Mapping[str, Any]) -> Look:
    versions = answers.get(f"editor {editor.name}", Versions())
    return Look(editor, versions, files, _or_else(False, partial(vscode.signed_in, editor)))


def _or_else(otherwise: T, read: Callable[[], T]) -> T:
    """The result of ``read``; ``otherwise`` where its file can't be read."""
    try:
        return read()
    except (OSError, ValueError, TypeError):
        return otherwise


def _addresses(
    deployment: Deployment | None,
    settings: Sequence[Sequence[SettingsFile]],
    asked: str | None,
) -> dict[str, str | None]:
    """Every configured endpoint text -> its URL; ``None`` where it is not an address."""
    set_values = (file.values.get(vscode.ENDPOINT) for files in settings for file in files)
    texts = [value for value in set_values if isinstance(value, str)]
    if deployment is not None:
        texts.append(deployment.spec.endpoint)
    if asked is not None:
        texts.append(asked)
    return {text: base_url(text) for text in texts if text.strip()}


def _keys(
    deployment: Deployment | None, endpoint: str | None, key: str | None
) -> dict[str | None, str | None]:
    """The key for each address that is known to need one."""
    ours = {base_url(deployment.spec.endpoint): server.gateway_key()} if deployment else {}
    return {**ours, base_url(endpoint): key} if endpoint is not None and key is not None else ours


def _endpoint(text: str, base: str | None, answers: Mapping[str, Any]) -> EndpointReading:
    if base is None:
        return EndpointReading(text, failure="invalid")
    late = EndpointReading(base, failure="timeout")
    answered: EndpointReading = answers.get(f"endpoint {base}", late)
    return answered


def _token_state() -> TokenState:
    """The state of the token that downloads use."""
    from huggingface_hub import get_token  # noqa: PLC0415  (0.2 s, in a thread of its own)

    token = get_token()
    if not token:
        return "none"
    # Tokens have only letters, digits and underscores; quotes and spaces come from copying.
    if not token.startswith("hf_") or not token.isascii() or not token.isidentifier():
        return "malformed"
    accepted = host.token_accepted(token)
    return "set" if accepted is None else "accepted" if accepted else "refused"


def _proxies(env: Mapping[str, str]) -> dict[str, str]:
    names = ("http_proxy", "https_proxy", "all_proxy")
    found = {name.upper(): env.get(name) or env.get(name.upper()) for name in names}
    return {name: value for name, value in found.items() if value}


def _port(deployment: Deployment | None, otherwise: int) -> Port:
    bind = deployment.spec.bind if deployment else _DEFAULT_BIND
    port = deployment.spec.port if deployment else otherwise
    if server.port_is_free(bind, port):
        return Port(bind, port, free=True)
    return Port(bind, port, False, server.port_holder(port), server.next_free_port(bind, port))


def _engine_alive(deployment: Deployment | None) -> bool | None:
    if deployment is None or deployment.state.engine is None:
        return None
    return deployment.state.engine.process() is not None


def _model_file(deployment: Deployment | None) -> ModelFile | None:
    if deployment is None or deployment.spec.plan.model.path is None:
        return None
    model = deployment.spec.plan.model
    path = Path(deployment.spec.plan.model.path)
    try:
        size = path.stat().st_size
    except OSError:
        return ModelFile(path, None, model.weights_bytes)
    # A folder, or one file of several, has no size to compare.
    whole = path.is_file() and "-of-" not in path.name
    return ModelFile(path, size, model.weights_bytes if whole else None)


def _unwritable() -> tuple[Path, ...]:
    """Folders that can't be written to. For a missing folder, its nearest parent decides."""
    wanted = (paths.state_dir(), paths.log_dir(), paths.cache_dir())
    return tuple(folder for folder in wanted if not _writable(folder))


def _writable(folder: Path) -> bool:
    existing = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            return True
    except OSError:
        return False
