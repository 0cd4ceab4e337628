"""The container image of a site's gateways and routers, and what its folder needs beside it."""

from __future__ import annotations

from stoker.deploy.site import ROUTER_VERSION, Site
from stoker.deploy.site_file import Line, SiteFile

#: The account inside: no machine's, and not root.
USER_ID = 10001
#: ``STOKER_HOME``: keys, the audit log, and usage where there is one gateway.
STATE = "/var/lib/stoker"


def image_name(site: Site) -> str:
    """What the image is called: another one for each version of what is in it."""
    return f"stoker-site:{site.stoker_version}"


def image_files(site: Site) -> tuple[SiteFile, ...]:
    """The Containerfile, and the folder for wheels that no package index has."""
    return (
        SiteFile.of("image/Containerfile", _containerfile(site)),
        SiteFile(
            "image/wheels/README",
            "Wheels (*.whl) in this folder are preferred to those of the package index. For a "
            "machine\nwithout a network put all of them here, and add --no-index to the pip line "
            "of Containerfile.\n",
        ),
    )


def _containerfile(site: Site) -> list[Line | str]:
    wanted = f'"stoker[teams]=={site.stoker_version}" vllm-router=={ROUTER_VERSION}'
    return [
        "# One image for the gateways and the routers.",
        Line(
            f"FROM {site.request.images.python}",
            "a fixed version; @sha256: makes it the same for ever",
        ),
        Line("COPY wheels /wheels", "wheels of your own, where there are any"),
        Line(
            f"RUN pip install --no-cache-dir --find-links /wheels {wanted}",
            "fixed versions: a build next year makes the same image",
        ),
        Line(
            f"RUN useradd --uid {USER_ID} --create-home stoker && install -d -o stoker {STATE}",
            "neither needs root; the folder gives its owner to the volume that is mounted there",
        ),
        Line(f"ENV STOKER_HOME={STATE} PYTHONUNBUFFERED=1", "state lies in the volume"),
        Line("STOPSIGNAL SIGTERM", "both end what they have begun, then stop"),
        f"USER {USER_ID}",
    ]
