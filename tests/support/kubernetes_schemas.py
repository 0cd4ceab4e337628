"""What Kubernetes and its extensions take, as JSON schemas: nothing that is misspelled passes.

Kubernetes' own are those that the package ``kubernetes-validate`` publishes, in their strict form.
InferencePools have none in a package, so theirs is written here by the API's reference
(https://gateway-api-inference-extension.sigs.k8s.io/reference/spec, v1). The other extensions are
validated where npm can be had: ``tests/integration/test_kubernetes_tools.py``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

_PACKAGE = "kubernetes_validate"
_FOLDER = "kubernetes-json-schema/v1.37.0-local-strict"
_DEFINITIONS = "_definitions.json"
_LABEL = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


_PORT = _object(("number",), number={"type": "integer", "minimum": 1, "maximum": 65535})
_LABELS = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 64,
    "additionalProperties": {"type": "string", "maxLength": 63, "pattern": _LABEL},
}
_PICKER = _object(
    ("name", "port"),
    group={"type": "string", "maxLength": 253},
    kind={"type": "string", "minLength": 1, "maxLength": 63},
    name={"type": "string", "minLength": 1, "maxLength": 253},
    port=_PORT,
    failureMode={"enum": ["FailOpen", "FailClose"]},
)
_INFERENCE_POOL = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "inference.networking.k8s.io/v1"},
    kind={"const": "InferencePool"},
    metadata={"type": "object", "required": ["name"]},
    spec=_object(
        ("selector", "targetPorts", "endpointPickerRef"),
        appProtocol={"enum": ["http", "kubernetes.io/h2c"]},
        selector=_object(("matchLabels",), matchLabels=_LABELS),
        targetPorts={"type": "array", "minItems": 1, "maxItems": 8, "items": _PORT},
        endpointPickerRef=_PICKER,
    ),
)


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
        return jsonschema.Draft7Validator(_INFERENCE_POOL)
    schema = _stored(_file_of(api_version, kind))
    return jsonschema.Draft7Validator(schema, registry=_definitions())


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
