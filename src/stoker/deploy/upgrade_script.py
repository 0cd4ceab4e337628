"""The script that changes a running site to what is in its files, one part after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from stoker.deploy.site import Site
from stoker.deploy.site_file import Line, SiteFile, indented

ROLLING = "rolling.py"
#: A gateway looks at its backends every 5 s, and one that failed three times rests for 10 s.
_SEEN_S = 15


@dataclass(frozen=True, slots=True)
class UpgradeCommands:
    """How a format starts a part again from the new files, as shell; ``$1`` is its number."""

    #: Defines what the others use.
    prepare: tuple[str, ...]
    #: Runs ``rolling.py`` where it reaches replicas and routers.
    rolling: str
    replica: str
    #: These two return when the part answers.
    router: str
    gateway: str


def rolling_file() -> SiteFile:
    """What takes a replica out of its routers and puts it back."""
    source = files("stoker.deploy") / "in_site" / ROLLING
    return SiteFile(ROLLING, source.read_text(encoding="utf-8"))


def upgrade_script(
    site: Site, replicas: Sequence[str], routers: Sequence[str], commands: UpgradeCommands
) -> SiteFile:
    """``upgrade.sh``, for replicas and routers at these addresses."""
    return SiteFile.of(
        "upgrade.sh",
        [
            *_head(site),
            *commands.prepare,
            f'replicas="{" ".join(replicas)}"',
            f'routers="{" ".join(routers)}"',
            f'rolling() {{ {commands.rolling} "$@"; }}',
            "",
            *_replicas(commands),
            *_one_by_one(
                site,
                commands.router,
                "ordered to stop, a router ends what it has begun; the gateways ask the other one",
            ),
            *_one_by_one(
                site,
                commands.gateway,
                "ordered to stop, a gateway ends its answers; the front asks the other one "
                "meanwhile. Started again, it learns which models are served now",
            ),
            'echo "Done: all of it runs what is in the files."',
        ],
        executable=True,
    )


def _head(site: Site) -> list[Line | str]:
    lines: list[Line | str] = [
        "#!/bin/sh",
        "# Changes what runs to what is in the files: another model, version or setting. No",
        "# request is lost: a replica is stopped when it has answered what it has begun. If this",
        "# stops half-way, correct the cause and run it again.",
    ]
    if site.request.replicas == 1:
        lines += [
            "# With one replica there is a gap: requests are answered 503 until it is up again.",
            "# A second replica closes it.",
        ]
    return [*lines, "set -eu", 'cd "$(dirname "$0")"']


def _replicas(commands: UpgradeCommands) -> list[Line | str]:
    return [
        "number=0",
        "for replica in $replicas; do",
        "    number=$((number + 1))",
        Line(
            '    rolling leave "$replica" $routers',
            "the routers send it nothing new, and it ends what it has begun",
        ),
        "    set -- $number",
        Line(f"    {commands.replica}", "it starts again, from the new files"),
        Line(
            '    rolling join "$replica" $routers',
            "only when it can answer; until then the others do, with the old version",
        ),
        "done",
        "",
    ]


def _one_by_one(site: Site, command: str, why: str) -> list[Line | str]:
    numbers = " ".join(str(number + 1) for number in range(site.request.gateways))
    return [
        Line(f"for number in {numbers}; do", why),
        *indented(["set -- $number", *command.splitlines()], 4),
        Line(
            f"    sleep {_SEEN_S}",
            "what sends to it has to see that it is back, before the next one goes",
        ),
        "done",
        "",
    ]
