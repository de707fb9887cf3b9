"""Checks Kubernetes manifests against the schemas of their CRDs. An unknown field is an error."""

from __future__ import annotations

import copy
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

META = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {"name": {"type": "string"}},
}


def crds(folder: Path) -> dict[str, dict[str, Any]]:
    """Schema of v1 by kind, without unknown fields. The files are CustomResourceDefinitions, plain or gzipped."""
    schemas = {}
    for path in sorted(folder.glob("*.yaml*")):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        spec = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]
        version = next(v for v in spec["versions"] if v["name"] == "v1")
        schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = META  # the CRD has no schema for it
        schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
        schema["properties"]["apiVersion"] = {"const": f"{spec['group']}/v1"}
        schema["properties"]["kind"] = {"const": spec["names"]["kind"]}
        close(schema)
        schemas[spec["names"]["kind"]] = schema
    return schemas


def close(schema: Any) -> None:
    """Forbid unknown keys wherever a schema has `properties`. An API server would drop them silently."""
    if isinstance(schema, dict):
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            close(value)
    elif isinstance(schema, list):
        for value in schema:
            close(value)


def problems(manifest: Any, schema: dict[str, Any]) -> list[str]:
    """Errors as `path: message`."""
    errors = Draft202012Validator(schema).iter_errors(manifest)
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in errors]


def documents(path: Path) -> Iterator[dict[str, Any]]:
    """The manifests of a file."""
    yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))
