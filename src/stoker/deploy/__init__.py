"""Files that run a plan on servers: replicas, gateways, their stores. One exporter a format. Pure.

``exporters.EXPORTERS`` is the table of formats, ``Site`` what is deployed.
"""

from stoker.deploy.exporter import Exporter
from stoker.deploy.exporters import EXPORTERS, exporter
from stoker.deploy.site import Images, Site
from stoker.deploy.site_file import Line, Reason, SiteFile

__all__ = [
    "EXPORTERS",
    "Exporter",
    "Images",
    "Line",
    "Reason",
    "Site",
    "SiteFile",
    "exporter",
]
