"""Files whose content is compared with the hash of their commit before they are used.

A disk or a network may change a bit without an error, and Parquet decodes many such files to other rows. SHA-256 reads about
1.3 GB a second on one core, a hundredth of the time that labeling takes (docs/operations.md has the measurement).

A damaged file stays where it is. The note `NAME.damaged` beside it makes the result void, so that the next run makes it again.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.errors import UserError
from xner_ray.storage.atomic import write_bytes
from xner_ray.storage.fingerprint import canonical_json, hash_bytes, hash_file

NOTE = ".damaged"
CHECK = "check"  # key of a checksum
_TRAILER = b"sha256: "  # before the hash of an array; with it no single changed bit of the shape can swallow the hash
_RUN_AGAIN = "run `xner run` again: it is made again"


def damage_note(path: Path) -> Path:
    """The note that a file is damaged."""
    return path.with_name(path.name + NOTE)


def read_table(path: str | Path, sha256: str, key: str | None = None) -> pa.Table:
    """The rows of a Parquet file.

    Args:
        path: of the file.
        sha256: its hash when it was committed, 64 hex digits.
        key: name of the shard, for the error.

    Raises:
        UserError: the file is gone, or its content is not what was committed.
    """
    path = Path(path)
    for _ in range(2):  # the second time for an error of one transfer from a network disk
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise gone(path, key) from None
        if hash_bytes(data) == sha256:
            return pq.ParquetFile(pa.BufferReader(data)).read()
    raise _note_damage(path, key)


def check_file(path: str | Path, sha256: str, key: str | None = None) -> None:
    """Compare a file with its hash; see `read_table`. This process remembers the hash of a file that does not change."""
    try:
        is_damaged = hash_file(path) != sha256
    except FileNotFoundError:
        raise gone(path, key) from None
    if is_damaged:
        raise _note_damage(Path(path), key)


def dump_checked(tree: Mapping[str, Any]) -> str:
    """A JSON object with its own checksum, as text."""
    return json.dumps({**tree, CHECK: _checksum(tree)}, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def load_checked(data: bytes) -> dict[str, Any]:
    """The JSON object that `dump_checked` wrote. Raises: ValueError if it is none, or its checksum is another one."""
    tree = json.loads(data)
    if not isinstance(tree, dict):
        raise ValueError("it holds no JSON object")
    check = tree.pop(CHECK, None)  # files of older versions have none
    if check is not None and check != _checksum(tree):
        raise ValueError("its checksum is another one")
    return tree


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy with its SHA-256 behind it. `np.load` reads it, too, and ignores the hash."""
    sink = io.BytesIO()
    np.save(sink, array)
    data = sink.getvalue()
    path.write_bytes(data + _TRAILER + hashlib.sha256(data).digest())


def load_array(path: Path) -> np.ndarray:
    """The array of `save_array`, read-only. Raises: UserError if the file is gone or damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise gone(path, None) from None
    end = len(data) - len(_TRAILER) - hashlib.sha256().digest_size
    content = data[: max(end, 0)]
    if data[len(content) :] == _TRAILER + hashlib.sha256(content).digest():
        return np.load(io.BytesIO(content), allow_pickle=False)
    try:  # older versions wrote no hash
        stream = io.BytesIO(data)
        array = np.load(stream, allow_pickle=False)
    except Exception as e:  # of NumPy's parser of headers: any type
        raise _note_damage(path, None) from e
    if stream.tell() != len(data):
        raise _note_damage(path, None)
    return array


def _checksum(tree: Mapping[str, Any]) -> str:
    return hash_bytes(canonical_json(dict(tree)).encode())[:16]


def gone(path: object, key: str | None) -> UserError:
    """The error of a file that was committed and does not exist any more."""
    return UserError("was committed, but it is gone", file=path, key=key, remedy=_RUN_AGAIN)


def damaged(path: object, key: str | None, *, noted: bool = True) -> UserError:
    """The error of a file that is not what was committed. `noted`: the next run knows it."""
    remedy = _RUN_AGAIN if noted else f"delete it, and {_RUN_AGAIN}"
    return UserError("is damaged: its content is not what was committed", file=path, key=key, remedy=remedy)


def _note_damage(path: Path, key: str | None) -> UserError:
    try:
        write_bytes(damage_note(path), b"")
    except (OSError, UserError):  # the folder cannot be written
        return damaged(path, key, noted=False)
    return damaged(path, key)
