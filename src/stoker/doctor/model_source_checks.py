"""The links for model sources: files on this machine, the hub, proxies."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from stoker.doctor.finding import Finding, Public, editor_name, found, gib
from stoker.doctor.snapshot import ModelFile, Readings
from stoker.network_addresses import is_nearby
from stoker.vscode import Look
from stoker.vscode import vscode_settings as vscode

_PROXY_SCHEMES = ("http", "https", "socks4", "socks5", "socks5h")
_THIS_MACHINE = ("localhost", "127.0.0.1")


def models(r: Readings) -> Iterator[Finding]:
    """Whether the deployment's model file is intact, and which other models there are."""
    file = r.model_file
    if file is not None:
        yield _deployed(file)
    elif r.models_here or (r.kept and r.kept.bytes):
        downloaded = gib(r.kept.bytes) if r.kept else 0.0
        yield found("models.here", count=r.models_here, gib=downloaded)
    else:
        yield found("models.none")
    if r.kept and r.kept.unfinished:
        yield found(
            "models.unfinished",
            count=r.kept.unfinished,
            gib=gib(r.kept.unfinished_bytes),
            folder=str(r.kept.folder),
        )


def _deployed(file: ModelFile) -> Finding:
    if file.size_bytes is None:
        return found("models.lost", path=str(file.path))
    if file.planned_bytes is not None and file.size_bytes != file.planned_bytes:
        sizes = {"size_gib": gib(file.size_bytes), "planned_gib": gib(file.planned_bytes)}
        return found("models.changed", path=str(file.path), **sizes)
    return found("models.ok")


def hub(r: Readings) -> Iterator[Finding]:
    """Whether models can be downloaded."""
    if r.token == "malformed":  # noqa: S105  (a state, not a token)
        yield found("hub.token-malformed")
    if r.token == "refused":  # noqa: S105
        yield found("hub.token-refused")
    if r.offline:
        yield found("hub.offline")
    elif r.hub is None or not r.hub.reachable:
        yield found("hub.untrusted" if r.hub and r.hub.untrusted else "hub.unreachable")
    elif r.token == "accepted":  # noqa: S105
        yield found("hub.token")
    elif r.token == "set":  # noqa: S105
        yield found("hub.token-unsure")
    elif r.token == "none":  # noqa: S105
        yield found("hub.ok")


def proxy(r: Readings) -> Iterator[Finding]:
    """Whether requests to this machine's own server bypass the proxies."""
    # The names are HTTP_PROXY, HTTPS_PROXY and ALL_PROXY.
    for name, value in r.proxies.items():
        if not _is_proxy(value):
            yield found("proxy.malformed", name=_public_name(name))
    passed = _passes_by(r.no_proxy)
    names = Public(" and ".join(_public_name(name) for name in sorted(r.proxies)))
    forgotten = next((host for host in _THIS_MACHINE if host not in passed), None)
    if r.proxies and forgotten and "*" not in passed:
        yield found("proxy.loopback", names=names, host=Public(forgotten))
    elif r.proxies:
        yield found("proxy.ok", names=names)
    for look in r.editors:
        yield from _of_editor(r, look)
    if not r.proxies:
        yield found("proxy.none")


def _of_editor(r: Readings, look: Look) -> Iterator[Finding]:
    """The proxy of the editor's own settings. VS Code never uses it for loopback addresses."""
    setting, skipped = look.effective(vscode.PROXY), look.effective(vscode.NO_PROXY)
    used = look.effective(vscode.PROXY_SUPPORT)
    if not setting or not setting[0] or (used and used[0] == "off"):
        return
    passed = skipped[0] if skipped and isinstance(skipped[0], list) else []
    for base in {e.url for e in r.endpoints.values() if e.failure != "invalid"}:
        host = urlsplit(base).hostname or ""
        if host not in passed and is_nearby(host):
            yield found("proxy.editor", editor=editor_name(look), host=host)


def _public_name(name: str) -> Public:
    return Public(name if name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") else "a variable")


def _is_proxy(value: str) -> bool:
    try:
        url = urlsplit(value if "://" in value else f"http://{value}")
        named = bool(url.hostname) and " " not in value and url.port != 0
        return url.scheme in _PROXY_SCHEMES and named
    except ValueError:
        return False


def _passes_by(no_proxy: str) -> set[str]:
    return {part.strip().lower().lstrip(".") for part in no_proxy.split(",") if part.strip()}
