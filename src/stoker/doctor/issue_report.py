"""A report for a public issue: every finding, but no key, name, path or prompt."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from stoker.doctor.finding import Finding, is_public, links, version
from stoker.doctor.snapshot import Readings

#: Values of ``platform`` that describe a machine and not its owner.
_SYSTEMS = ("Linux", "Darwin", "Windows")
_ARCHITECTURES = ("x86_64", "AMD64", "arm64", "aarch64")


def report(readings: Readings, findings: Iterable[Finding]) -> str:
    """A bug report in Markdown, fit to be published.

    Private values in a finding's texts are replaced by their names, as in ``<path>``.
    """
    system = readings.host.system if readings.host.system in _SYSTEMS else "another system"
    arch = readings.host.arch if readings.host.arch in _ARCHITECTURES else "another architecture"
    stoker = version(readings.stoker_version)
    stoker = stoker if is_public(stoker) else "of an unknown version"
    lines = [
        "### stoker doctor",
        "",
        f"- Stoker {stoker}, Python {platform.python_version()}",
        f"- {system} {arch}{', WSL 2' if readings.host.wsl2 else ''}",
        "",
        "| link | state | finding |",
        "| --- | --- | --- |",
    ]
    titles = {link.id: link.title for link in links()}
    for each in findings:
        shown = each.redacted()
        what = shown.what.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| {titles[each.kind.link]} | {each.state} | {what} (`{each.kind.id}`) |")
    return "\n".join(lines) + "\n"
