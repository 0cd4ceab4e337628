"""``stoker docs``: open the pages that came with this Stoker."""

from __future__ import annotations

import webbrowser
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from stoker.bundles import docs_site, own_source
from stoker.cli.options import Json
from stoker.cli.render import output
from stoker.errors import StokerError, UsageError

_Page = Annotated[
    str | None, typer.Argument(help="A page by its name, such as 05-installation or sizing.")
]
_Print = Annotated[bool, typer.Option("--print", help="Print the address, and open nothing.")]


def command(page: _Page = None, print_only: _Print = False, json: Json = False) -> None:
    """Open the docs in the browser; they are on this machine, and need no network."""
    address = _page(_home(), page).as_uri()
    if json:
        output.as_json({"page": address})
        return
    output.say(address)
    if not print_only:
        webbrowser.open(address)


def _home() -> Path:
    """The first page. A clone that can build its pages does so where one of them changed."""
    home, project = docs_site.home(), own_source()
    if project is None or not project.is_dir() or not docs_site.can_build():
        if home is None:
            raise StokerError(
                "This installation has no pages.",
                "A wheel has them only if `make site` ran before it was built.",
                f"Read {project / 'docs'}, or install stoker[bundles] and try again."
                if project and project.is_dir()
                else "Install Stoker from a bundle, or from a clone after make site.",
            )
        return home
    site = project / "src" / "stoker" / "site"
    if home is None or (home.parent == site and docs_site.is_older(site, project)):
        typer.echo("Building the pages, which takes half a minute...", err=True)
        docs_site.build(project, site)
        return site / "index.html"
    return home


def _page(home: Path, name: str | None) -> Path:
    if name is None:
        return home
    pages = {
        page.relative_to(home.parent).with_suffix("").as_posix(): page
        for page in home.parent.rglob("*.html")
    }
    wanted = name.removesuffix(".md").removesuffix(".html").removeprefix("docs/")
    short = {each.rpartition("/")[2].lstrip("0123456789-"): at for each, at in pages.items()}
    found = pages.get(wanted) or short.get(wanted)
    if found is None:
        near = get_close_matches(wanted, dict.fromkeys([*pages, *short]), cutoff=0.4)
        raise UsageError(
            f"There is no page {name}.",
            f"The nearest: {', '.join(near)}." if near else "",
            "stoker docs opens the first page, which lists all.",
        )
    return found
