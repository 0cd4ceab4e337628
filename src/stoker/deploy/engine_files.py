"""The small files that an engine reads in its container."""

from __future__ import annotations

from stoker.deploy.site import Site
from stoker.deploy.site_file import SiteFile

ENGINE_FOLDER = "engine"


def engine_files(site: Site) -> tuple[SiteFile, ...]:
    """Those files, to be mounted where the engine looks for them."""
    return tuple(
        SiteFile(f"{ENGINE_FOLDER}/{path.rpartition('/')[2]}", text)
        for path, text in site.engine.files
    )
