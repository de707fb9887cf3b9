"""The manifest of a shard: the file whose creation commits it. The package docstring describes the protocol."""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from xner_ray.errors import UserError
from xner_ray.storage.fingerprint import canonical_json

FOLDER, SUFFIX = "manifest", ".json"
_NAME = re.compile(r"\w[\w.-]{0,180}", re.ASCII)
_CHECK = b'"check":"%08x"'  # CRC-32 of the manifest's text with zeros in this place


def is_shard_name(name: str) -> bool:
    """Whether a shard may have this name."""
    return _NAME.fullmatch(name) is not None


def manifest_file(shard: str) -> str:
    """The name of a shard's manifest in its store."""
    return f"{FOLDER}/{shard}{SUFFIX}"


@dataclass(frozen=True)
class Manifest:
    """The commit of a shard.

    Attributes:
        shard: its name.
        attempt: random id of the attempt that committed it.
        file: data file in the root of the store.
        rows: number of rows.
        size: bytes of the file.
        sha256: hash of the file, hex.
        input_hash: hash of what the shard was made from.
        extra: JSON values of the stage, e.g. counts for the ledger.
        version: of this format.
        check: checksum of the manifest's text, 8 hex digits; empty in manifests of older versions.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)
    shard: str
    attempt: str
    file: str
    rows: int
    size: int
    sha256: str
    input_hash: str
    extra: dict[str, Any] = field(default_factory=dict)
    version: Literal[1] = 1
    check: str = field(default="", compare=False)

    def to_json(self) -> str:
        text = canonical_json({**asdict(self), "check": "0" * 8}).encode() + b"\n"
        return text.replace(_CHECK % 0, _CHECK % zlib.crc32(text), 1).decode()

    @classmethod
    def from_json(cls, text: str | bytes, file: object = None) -> Manifest:
        """Read a manifest. Raises: UserError with `file` and the key if the text is no manifest of this version."""
        problem, key = None, None
        try:
            manifest = _MANIFEST.validate_json(text)
            if manifest.file != f"{manifest.shard}.{manifest.attempt}.parquet" or not _NAME.fullmatch(manifest.shard):
                problem, key = f"it names {manifest.file!r}", "file"
            elif file is not None and os.path.basename(str(file)) != manifest.shard + SUFFIX:
                problem, key = f"it is of shard {manifest.shard}", "shard"
            elif manifest.check and not _is_intact(text, manifest.check):
                problem, key = "its checksum is another one", "check"
        except ValidationError as e:
            problem, key = e.errors()[0]["msg"], ".".join(map(str, e.errors()[0]["loc"])) or None
        if problem:
            remedy = "delete this manifest: the shard is then made again"
            raise UserError(f"the manifest is corrupt: {problem}", file=file, key=key, remedy=remedy)
        return manifest


_MANIFEST = TypeAdapter(Manifest)  # building one takes 300 times as long as reading a manifest


def _is_intact(text: str | bytes, check: str) -> bool:
    data = text.encode() if isinstance(text, str) else text
    stored = b'"check":"' + check.encode() + b'"'
    # The first occurrence is the key itself: only the attempt id comes before it.
    return stored in data and stored == _CHECK % zlib.crc32(data.replace(stored, _CHECK % 0, 1))
