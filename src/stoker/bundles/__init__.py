"""One signed file with everything that a site without a network needs: made, checked, installed.

``create`` makes a bundle, ``verified`` checks one, ``load`` installs it, and ``accept`` proves that
what was installed works. The archive is described in ``bundle_archive``.
"""

from stoker.bundles.acceptance import Acceptance, accept
from stoker.bundles.acceptance import as_dict as acceptance_as_dict
from stoker.bundles.acceptance import write as write_acceptance
from stoker.bundles.bundle_archive import Archive, open_archive
from stoker.bundles.bundle_manifest import Manifest, TargetMachine
from stoker.bundles.creation import BundleRequest, create
from stoker.bundles.loading import LoadedBundle, load, verified
from stoker.bundles.minisign_keys import (
    PublicKey,
    SecretKey,
    make_pair,
    read_public,
    read_secret,
)
from stoker.bundles.target_machines import DEFAULT_GLIBC, PLATFORMS, target
from stoker.bundles.wheels import own_source

__all__ = [
    "DEFAULT_GLIBC",
    "PLATFORMS",
    "Acceptance",
    "Archive",
    "BundleRequest",
    "LoadedBundle",
    "Manifest",
    "PublicKey",
    "SecretKey",
    "TargetMachine",
    "accept",
    "acceptance_as_dict",
    "create",
    "load",
    "make_pair",
    "open_archive",
    "own_source",
    "read_public",
    "read_secret",
    "target",
    "verified",
    "write_acceptance",
]
