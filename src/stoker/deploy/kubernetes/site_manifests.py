"""All objects of a site, file by file."""

from __future__ import annotations

from stoker.deploy.kubernetes.autoscaling_objects import autoscaling_manifest
from stoker.deploy.kubernetes.certificate_objects import certificate_manifest
from stoker.deploy.kubernetes.engine_objects import engine_manifest
from stoker.deploy.kubernetes.gateway_objects import gateway_manifest
from stoker.deploy.kubernetes.manifest import ManifestFile
from stoker.deploy.kubernetes.monitoring_objects import monitoring_manifest
from stoker.deploy.kubernetes.network_objects import network_manifest
from stoker.deploy.kubernetes.picker_objects import picker_manifest
from stoker.deploy.kubernetes.route_objects import route_manifest
from stoker.deploy.kubernetes.store_objects import store_manifest
from stoker.deploy.site import Site

_FILES = (
    engine_manifest,
    picker_manifest,
    route_manifest,
    gateway_manifest,
    store_manifest,
    network_manifest,
    autoscaling_manifest,
    monitoring_manifest,
    certificate_manifest,
)


def site_manifests(site: Site) -> tuple[ManifestFile, ...]:
    """The files of the site, in the order in which they are best read."""
    made = (file(site) for file in _FILES)
    return tuple(file for file in made if file is not None)
