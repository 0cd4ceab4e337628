"""Deployment files: replicas of a plan, gateways, their stores. One exporter a format. Pure.

``exporters.EXPORTERS`` is the table of formats, ``Site`` what is deployed.
"""

from stoker.deploy.cluster import Cluster
from stoker.deploy.exporter import Exporter
from stoker.deploy.exporters import EXPORTERS, exporter_for
from stoker.deploy.site import MOST_REPLICAS, Images, Site, SiteRequest
from stoker.deploy.site_file import Line, Reason, SiteFile

__all__ = [
    "EXPORTERS",
    "MOST_REPLICAS",
    "Cluster",
    "Exporter",
    "Images",
    "Line",
    "Reason",
    "Site",
    "SiteFile",
    "SiteRequest",
    "exporter_for",
]
