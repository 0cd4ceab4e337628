"""What Kubernetes and its extensions take, as JSON schemas: nothing that is misspelled passes.

Kubernetes' own are those that the package ``kubernetes-validate`` publishes, in their strict form;
InferencePool's is that of its CustomResourceDefinition (``tests/fixtures/kubernetes_crds``). The
other extensions are validated where npm can be had: ``tests/integration/test_kubernetes_tools.py``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7
from ruamel.yaml import YAML

_PACKAGE = "kubernetes_validate"
_FOLDER = "kubernetes-json-schema/v1.37.0-local-strict"
_DEFINITIONS = "_definitions.json"
_CRDS = Path(__file__).parents[1] / "fixtures" / "kubernetes_crds"


def check(node: Mapping[str, Any]) -> None:
    """Raise ``jsonschema.ValidationError`` for an object that its API would not take."""
    _validator(node["apiVersion"], node["kind"]).validate(node)


def is_known(node: Mapping[str, Any]) -> bool:
    """Whether there is a schema for the object here."""
    try:
        _validator(node["apiVersion"], node["kind"])
    except FileNotFoundError:
        return False
    return True


@functools.cache
def _validator(api_version: str, kind: str) -> jsonschema.Draft7Validator:
    if kind == "InferencePool":
        return jsonschema.Draft7Validator(_custom("inferencepools.yaml", api_version))
    schema = _stored(_file_of(api_version, kind))
    return jsonschema.Draft7Validator(schema, registry=_definitions())


def _custom(file: str, api_version: str) -> Any:
    """The schema of a resource's own definition."""
    spec = YAML(typ="safe").load(_CRDS / file)["spec"]
    group, _, version = api_version.partition("/")
    assert spec["group"] == group
    named = {one["name"]: one for one in spec["versions"]}
    return _strict(named[version]["schema"]["openAPIV3Schema"])


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A field that the schema does not name is dropped by the API: here it is refused."""
    strict = dict(schema)
    if "properties" in schema:
        strict["properties"] = {name: _strict(one) for name, one in schema["properties"].items()}
        strict["additionalProperties"] = False
    if "items" in schema:
        strict["items"] = _strict(schema["items"])
    return strict


def _file_of(api_version: str, kind: str) -> str:
    """``deployment-apps-v1.json``: an API group's first word is a part of the name."""
    group, _, version = api_version.rpartition("/")
    parts = (kind.lower(), group.split(".")[0], version)
    return f"{'-'.join(part for part in parts if part)}.json"


def _stored(name: str) -> Any:
    return json.loads((files(_PACKAGE) / _FOLDER / name).read_text(encoding="utf-8"))


@functools.cache
def _definitions() -> Registry[Any]:
    """What the schemas refer to, in one document of theirs."""
    held: Resource[Any] = DRAFT7.create_resource(_stored(_DEFINITIONS))
    empty: Registry[Any] = Registry()
    found: Registry[Any] = empty.with_resource(f"/api/{_DEFINITIONS}", held)
    return found
