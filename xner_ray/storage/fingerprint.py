"""A short hash of what a result depends on, and a description of what changed between two of them.

A folder named by a fingerprint never mixes two configs, weights or stage versions. A person cannot read the digits, so the
parts are kept beside them, and `describe_change` compares two sets of parts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError

# A model's behavior depends on weights, shape and tokenizer, not on logs, cards or the state of the optimizer.
MODEL_FILES = (
    "config.json",
    "projector.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "*.bin",
    "*token*",
    "vocab*",
    "*.model",
    "*.txt",
)
_file_hashes: dict[tuple[int, ...], str] = {}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and without spaces, equal for equal values. Pydantic models and sets count as their values.

    Raises:
        TypeError: a value without a stable text, such as a Path or an object.
        ValueError: NaN or infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=canonical_json)
    raise TypeError(f"{type(value).__name__} has no stable form; give a string, number, list or dict")


def fingerprint(parts: Mapping[str, Any]) -> str:
    """The first 12 hex digits of the SHA-256 of the parts. The order of keys does not matter."""
    return hash_bytes(canonical_json(dict(parts)).encode())[:12]


def hash_bytes(data: bytes | memoryview) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file, hex. This process remembers it while inode, size and times of the file stay the same."""
    stat = Path(path).stat()
    key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if key not in _file_hashes:
        with open(path, "rb") as file:
            _file_hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _file_hashes[key]


def hash_folder(path: str | Path, patterns: Iterable[str] = MODEL_FILES) -> str:
    """SHA-256 of names and content of files, hex.

    Args:
        path: the folder.
        patterns: glob patterns of its files.

    Raises:
        UserError: no file matches.
    """
    files = {
        p.relative_to(path).as_posix(): p for pattern in patterns for p in Path(path).glob(pattern) if p.is_file()
    }
    if not files:
        raise UserError("holds no file of a saved model", file=path, remedy="give a folder that holds one")
    return hash_bytes(canonical_json({name: hash_file(file) for name, file in files.items()}).encode())


def describe_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The differences, one line a key: `teacher.training.epochs: 3 -> 4`. A missing key is `unset`."""
    before, after = (dict(_leaves(json.loads(canonical_json(dict(parts))))) for parts in (old, new))
    pairs = [(k, before.get(k, "unset"), after.get(k, "unset")) for k in sorted(before.keys() | after.keys())]
    return [f"{key}: {was} -> {now}" for key, was, now in pairs if was != now]


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Leaves by dotted key, as on the command line (`corpora.0.path`); a list of plain values is one leaf."""
    if isinstance(tree, list) and tree and all(isinstance(x, dict) for x in tree):
        tree = {str(i): x for i, x in enumerate(tree)}
    if isinstance(tree, dict) and (tree or not prefix):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, json.dumps(tree, sort_keys=True, ensure_ascii=False)
