"""What is in a bundle, as a software bill of materials: CycloneDX 1.6, JSON."""

from __future__ import annotations

import uuid
import zipfile
from dataclasses import dataclass
from datetime import datetime
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from stoker.errors import StokerError

#: So that the same content gives the same serial number.
_NAMESPACE = uuid.UUID("5f4f2c0e-7b3e-4a7e-9a0a-2d6b8f1c9e55")


@dataclass(frozen=True, slots=True)
class Component:
    """One thing that the bill lists."""

    #: As CycloneDX calls it: library, machine-learning-model, container or application.
    kind: str
    name: str
    version: str = ""
    purl: str = ""
    license: str = ""
    #: SHA-256 of each file, by its name.
    files: tuple[tuple[str, str], ...] = ()


def of_wheel(wheel: Path, sha256: str) -> Component:
    """What the metadata inside a wheel states of it."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode("utf-8", "replace"))
    license_ = metadata["License-Expression"] or _classified(metadata.get_all("Classifier") or [])
    project, version = str(metadata["Name"]), str(metadata["Version"])
    purl = f"pkg:pypi/{project.lower().replace('_', '-')}@{version}"
    return Component("library", project, version, purl, license_, ((wheel.name, sha256),))


def document(components: list[Component], created: str) -> str:
    """The bill. Raises ``StokerError`` where the library that writes it is not installed."""
    try:
        from cyclonedx.model.bom import Bom  # noqa: PLC0415  (an extra; only `create` needs it)
        from cyclonedx.output.json import JsonV1Dot6  # noqa: PLC0415
    except ImportError as error:
        raise StokerError(
            "The bill of materials can't be written.",
            "The package cyclonedx-python-lib is not installed.",
            "Install what making bundles needs: pip install '.[bundles]' in Stoker's clone.",
        ) from error
    listed = [_component(each) for each in components]
    names = "".join(digest for each in components for _, digest in each.files)
    bom = Bom(components=listed, serial_number=uuid.uuid5(_NAMESPACE, created + names))
    bom.metadata.timestamp = datetime.fromisoformat(created)
    return JsonV1Dot6(bom).output_as_string(indent=1)


def _component(each: Component) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType  # noqa: PLC0415
    from cyclonedx.model.component import Component as Listed  # noqa: PLC0415
    from cyclonedx.model.component import ComponentType  # noqa: PLC0415
    from cyclonedx.model.license import DisjunctiveLicense  # noqa: PLC0415
    from packageurl import PackageURL  # noqa: PLC0415

    def hashed(digest: str) -> list[HashType]:
        return [HashType(alg=HashAlgorithm.SHA_256, content=digest)]

    return Listed(
        type=ComponentType(each.kind),
        name=each.name,
        bom_ref=f"{each.kind}:{each.name}@{each.version}",
        version=each.version or None,
        purl=PackageURL.from_string(each.purl) if each.purl else None,
        licenses=[DisjunctiveLicense(name=each.license)] if each.license else [],
        hashes=hashed(each.files[0][1]) if len(each.files) == 1 else [],
        components=[
            Listed(
                type=ComponentType.FILE,
                name=name,
                hashes=hashed(digest),
                bom_ref=f"{each.kind}:{each.name}:{name}",
            )
            for name, digest in (each.files if len(each.files) > 1 else ())
        ],
    )


def _classified(classifiers: list[str]) -> str:
    found = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: ")]
    return ", ".join(found)
