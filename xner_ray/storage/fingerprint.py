"""What a result depends on, as a short hash, and in words when it changes.

A folder named by 12 hex digits never mixes two configs, weights or stage versions. The digits say nothing to a person,
so the parts are kept beside them and `describe_change` tells two sets apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError

# What a model's behavior depends on: weights, shape and tokenizer, not logs, cards or optimizer state.
MODEL_FILES = ("config.json", "projector.json", "*.safetensors", "*.bin", "*token*", "vocab*", "*.model", "*.txt")
_hashes: dict[tuple[int, ...], str] = {}


def canonical(obj: Any) -> str:
    """JSON with sorted keys, equal for equal values; pydantic models and sets count as their values.

    Raises: TypeError for a value without a stable text (a Path, an object), ValueError for NaN and infinity.
    """
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(obj: Any) -> Any:
    if hasattr(obj, "model_dump"):
        return obj.model_dump(mode="json")
    if isinstance(obj, (set, frozenset)):
        return sorted(obj, key=canonical)
    raise TypeError(f"{type(obj).__name__} has no stable form; give a string, number, list or dict")


def fingerprint(parts: Mapping[str, Any]) -> str:
    """12 hex digits of the SHA-256 of the parts; the order of keys does not matter."""
    return hashlib.sha256(canonical(dict(parts)).encode()).hexdigest()[:12]


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file, remembered in this process while its inode, size and times stay the same."""
    stat = Path(path).stat()
    key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if key not in _hashes:
        with open(path, "rb") as f:
            _hashes[key] = hashlib.file_digest(f, "sha256").hexdigest()
    return _hashes[key]


def hash_folder(path: str | Path, names: Iterable[str] = MODEL_FILES) -> str:
    """SHA-256 over names and bytes of the files that fit the glob patterns. Raises: UserError where none does."""
    found = {p.relative_to(path).as_posix(): p for n in names for p in Path(path).glob(n) if p.is_file()}
    if not found:
        raise UserError("no file of a saved model is here", file=path, remedy="give a folder that holds one")
    return hashlib.sha256(canonical({name: hash_file(p) for name, p in found.items()}).encode()).hexdigest()


def describe_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs, one line a key: `teacher.training.epochs: 3 -> 4`; a missing key is `unset`."""
    before, after = (dict(_leaves(json.loads(canonical(dict(x))))) for x in (old, new))
    pairs = [(k, before.get(k, "unset"), after.get(k, "unset")) for k in sorted(before.keys() | after.keys())]
    return [f"{key}: {was} -> {now}" for key, was, now in pairs if was != now]


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Leaves by dotted key, as the command line writes them (`corpora.0.path`); a list of plain values is one leaf."""
    if isinstance(tree, list) and tree and all(isinstance(x, dict) for x in tree):
        tree = {str(i): x for i, x in enumerate(tree)}
    if isinstance(tree, dict) and (tree or not prefix):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, json.dumps(tree, sort_keys=True, ensure_ascii=False)
