"""Checks of Kubernetes manifests against schemas, as strict as a reviewer: a field that no schema has is an error."""

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
    """kind -> schema of its v1, closed. The files are CustomResourceDefinitions, plain or gzipped."""
    found = {}
    for path in sorted(folder.glob("*.yaml*")):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        told = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]
        version = next(v for v in told["versions"] if v["name"] == "v1")
        schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = META  # an API server fills it in itself, and the CRD leaves it open
        schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
        schema["properties"]["apiVersion"] = {"const": f"{told['group']}/v1"}
        schema["properties"]["kind"] = {"const": told["names"]["kind"]}
        close(schema)
        found[told["names"]["kind"]] = schema
    return found


def close(schema: Any) -> None:
    """Forbid unknown keys wherever a schema lists the known ones. (An API server drops them without a word.)"""
    if isinstance(schema, dict):
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            close(value)
    elif isinstance(schema, list):
        for value in schema:
            close(value)


def problems(manifest: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong, as `path: message`."""
    errors = Draft202012Validator(schema).iter_errors(manifest)
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in errors]


def documents(path: Path) -> Iterator[dict[str, Any]]:
    """The manifests of a file."""
    yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))
