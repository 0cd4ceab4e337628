"""What an exporter is: a format that a site can be written in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stoker.deploy.site import Site
from stoker.deploy.site_file import SiteFile


@dataclass(frozen=True, slots=True, eq=False)
class Exporter:
    """A format of deployment files. Its module has one value of this kind, ``EXPORTER``."""

    #: As the command names it: ``compose``.
    name: str
    #: One line for the command's help.
    help: str
    #: The site's files in this format. Pure: values in, files out. Raises ``StokerError`` for a
    #: site that the format can't express.
    render: Callable[[Site], tuple[SiteFile, ...]]
    #: What to type next, in the folder of the files, in this order.
    next_steps: Callable[[Site], tuple[str, ...]]
    #: All replicas run on the one machine that the files are for, and share its GPUs.
    one_machine: bool = True
