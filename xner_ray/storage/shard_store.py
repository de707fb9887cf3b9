"""Shards and their manifests: each shard is committed exactly once. The package docstring describes the protocol.

A shard is serialized in memory before it is written (at most some tens of MB). So its hash is known before the first byte is
written, the writer can write it again, and a full disk is noticed in one place.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter, ValidationError

from xner_ray.errors import UserError
from xner_ray.storage.atomic import TEMP, random_id
from xner_ray.storage.blob_store import check_create_if_absent, open_blob_store
from xner_ray.storage.failpoints import failpoint
from xner_ray.storage.fingerprint import canonical_json, hash_bytes
from xner_ray.storage.verify import damaged, gone

log = logging.getLogger(__name__)

GRACE_SECONDS = 6 * 3600.0  # longer than a writer can be suspended and still commit
_NAME = re.compile(r"\w[\w.-]{0,180}", re.ASCII)
_DATA = re.compile(r".+\.[0-9a-f]{16}\.parquet")
_CHECK = b'"check":"%08x"'  # CRC-32 of the manifest's text with zeros in this place
# Of a shard's name.
_manifest_file, _running_file, _damage_note = "manifest/{}.json".format, "running/{}".format, "damaged/{}".format
# The same table has to give the same bytes: a change here changes every hash.
_WRITER: dict[str, Any] = {
    "version": "2.6", "compression": "zstd", "compression_level": 3, "use_dictionary": True, "write_statistics": True,
    "data_page_version": "1.0", "data_page_size": 1 << 20, "row_group_size": 1 << 16, "write_page_checksum": True,
}  # fmt: skip


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
            elif file is not None and Path(str(file)).stem != manifest.shard:
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


def parquet_bytes(table: pa.Table) -> memoryview:
    """A table as a Parquet file. Equal tables give equal bytes: chunks, slices and schema metadata do not matter."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(None).combine_chunks(), sink, **_WRITER)
    return memoryview(sink.getvalue())


class ShardStore:
    """The shards of one folder.

    Args:
        root: a path, or a URL that `open_blob_store` accepts. It is made at the first commit.
    """

    def __init__(self, root: str | Path):
        self.blobs = open_blob_store(root)

    def commit(self, shard: str, table: pa.Table, input_hash: str, extra: Mapping[str, Any] | None = None) -> Manifest:
        """Commit a shard unless it is committed. All writers of a shard get the same manifest.

        Args:
            shard: its name, of ASCII letters, digits, `_`, `-` and `.`.
            table: its rows.
            input_hash: hash of what it was made from.
            extra: JSON values for the manifest, e.g. counts for the ledger. Those of the first commit are kept.

        Returns:
            the manifest of the first commit.

        Raises:
            UserError: no space or no permission (then nothing was committed and nothing is left), or the shard is committed
                for another input.
        """
        if not _NAME.fullmatch(shard):
            raise UserError(f"{shard!r} cannot name a shard", key="shard", remedy="use letters, digits, _, - and .")
        manifest = self.manifest(shard)
        if manifest is None:
            data, attempt = parquet_bytes(table), random_id()
            file, sha256 = f"{shard}.{attempt}.parquet", hash_bytes(data)
            own = Manifest(shard, attempt, file, table.num_rows, len(data), sha256, input_hash, dict(extra or {}))
            manifest = self._publish(own, data)
        self.blobs.delete(_running_file(shard))
        self._check_input(manifest, input_hash)
        return manifest

    def _publish(self, own: Manifest, data: memoryview) -> Manifest:
        text = own.to_json().encode()  # before any write, because `extra` may not be JSON
        self.blobs.write(own.file, data, "data")
        try:
            self.blobs.create_if_absent(_manifest_file(own.shard), text, "manifest")
        except UserError:  # the manifest was not written, so nothing names the data file
            self.blobs.delete(own.file)
            raise
        committed = self.manifest(own.shard)
        if committed is not None and committed.attempt != own.attempt:
            failpoint("commit.lost")
            self.blobs.delete(own.file)
            if (committed.input_hash, committed.sha256) != (own.input_hash, own.sha256):
                log.warning(
                    "shard %s: attempt %s has other bytes or another input than the committed one",
                    own.shard,
                    own.attempt,
                )
            return committed
        if not self.blobs.exists(
            own.file
        ):  # this writer was suspended past the grace time, and a sweep deleted the file
            self.blobs.write(own.file, data, "restore")
        return own

    def mark_running(self, shard: str) -> None:
        """Note for `running` that a worker has started with a shard. No commit depends on it."""
        self.blobs.write(_running_file(shard), b"", "running")

    def running(self) -> dict[str, float]:
        """Shards that were started and are not committed, with the seconds since then. Their workers may be dead."""
        return {Path(name).name: age for name, age in self.blobs.list("running").items() if not TEMP.fullmatch(name)}

    def manifest(self, shard: str) -> Manifest | None:
        """The manifest of a shard; None if it is not committed. Raises: UserError if it is corrupt."""
        text = self.blobs.read(_manifest_file(shard))
        return None if text is None else Manifest.from_json(text, self._manifest_path(shard))

    def committed(self) -> dict[str, Manifest]:
        """The manifests of all committed shards by name, sorted."""
        names = sorted(Path(name).stem for name in self.blobs.list("manifest") if name.endswith(".json"))
        with ThreadPoolExecutor(16) as threads:  # an object store takes 10 ms an answer, and gives many at once
            manifests = zip(names, threads.map(self.manifest, names), strict=True)
            return {name: manifest for name, manifest in manifests if manifest}

    def files(self, shards: Iterable[str] | None = None) -> list[str]:
        """Paths of committed data files in the order of the shards' names; default: of all shards.

        Raises:
            UserError: a file is gone, or its content is not what was committed.
        """
        chosen = None if shards is None else set(shards)
        manifests = [m for name, m in self.committed().items() if chosen is None or name in chosen]
        with ThreadPoolExecutor(16) as threads:  # hashing and reading release the interpreter lock
            hashes = list(threads.map(lambda m: self.blobs.sha256(m.file), manifests))
        for manifest, sha256 in zip(manifests, hashes, strict=True):
            if sha256 != manifest.sha256:
                raise self._damage(manifest, is_gone=sha256 is None)
        return [self.blobs.path(m.file) for m in manifests]

    def missing(self, shards: Mapping[str, str]) -> list[str]:
        """Which of the shards (name -> input hash) are not committed. Raises: UserError if an input changed."""
        committed = self.committed()
        for name in shards.keys() & committed.keys():
            self._check_input(committed[name], shards[name])
        return [name for name in shards if name not in committed]

    def damaged(self, shards: Iterable[str]) -> list[str]:
        """Which of the shards are committed, but their file is gone, has another size, or was found damaged by a reader."""
        committed = self.committed()  # before the sizes: a file is written before its manifest
        sizes = self.blobs.sizes()
        notes = {Path(name).name for name in self.blobs.list("damaged")}
        return [
            s
            for s in shards
            if s in committed
            and (sizes.get(committed[s].file) != committed[s].size or self._is_noted(committed[s], notes))
        ]

    def _is_noted(self, manifest: Manifest, notes: set[str]) -> bool:
        # A note about an attempt that was replaced since says nothing.
        return manifest.shard in notes and self.blobs.read(_damage_note(manifest.shard)) == manifest.attempt.encode()

    def read(self, shard: str, verify: bool = True) -> pa.Table:
        """The rows of a committed shard.

        Args:
            shard: its name.
            verify: compare the hash of the file, not only its size.

        Raises:
            UserError: the shard is not committed, or its file is gone or damaged. The next `xner run` makes it again.
        """
        manifest = self.manifest(shard)
        if manifest is None:
            path = self._manifest_path(shard)
            raise UserError(f"shard {shard} is not committed", file=path, remedy="run its stage first")
        return self.open(manifest, verify).read()

    def open(self, manifest: Manifest, verify: bool = True) -> pq.ParquetFile:
        """Open the file of a committed shard, for a reader of a few columns; see `read`."""
        for _ in range(2):  # the second time for an error of one transfer
            data = self.blobs.read(manifest.file)
            if data is None:
                break
            if len(data) == manifest.size and not (verify and hash_bytes(data) != manifest.sha256):
                return pq.ParquetFile(pa.BufferReader(data))
        raise self._damage(manifest, is_gone=data is None)

    def _damage(self, manifest: Manifest, *, is_gone: bool) -> UserError:
        """The error of a data file that is not what was committed. It is noted, so that the next run makes the shard again."""
        file = self.blobs.path(manifest.file)
        if is_gone:
            return gone(file, manifest.shard)
        try:
            self.blobs.write(_damage_note(manifest.shard), manifest.attempt.encode(), "damaged")
        except (OSError, UserError):  # the store cannot be written
            return damaged(file, manifest.shard, noted=False)
        return damaged(file, manifest.shard)

    def sweep(self, grace_seconds: float = GRACE_SECONDS) -> list[str]:
        """Delete data files that no manifest names and temporary files, if they are older than the grace time.

        Returns:
            the names of the deleted files. Files of other programs stay.
        """
        # Listed before the manifests are read: a shard that is committed meanwhile is not listed, or its manifest is read.
        ages = self.blobs.list() | self.blobs.list("manifest") | self.blobs.list("running")
        named = {manifest.file for manifest in self.committed().values()}
        orphans = [
            name
            for name, age in ages.items()
            if age >= grace_seconds
            and name not in named
            and (_DATA.fullmatch(name) or TEMP.fullmatch(name) or name.startswith("running/"))
        ]
        for name in orphans:
            self.blobs.delete(name)
        return orphans

    def uncommit(self, shard: str) -> None:
        """Delete the manifest of a shard, so that it is made again. Only for a user who asks for it, and for damaged shards."""
        self.blobs.delete(_manifest_file(shard))
        self.blobs.delete(_damage_note(shard))

    def probe(self) -> None:
        """Check that the store can be written, and can create a file only if it is absent. Raises: UserError if not."""
        check_create_if_absent(self.blobs)

    def _manifest_path(self, shard: str) -> str:
        return self.blobs.path(_manifest_file(shard))

    def _check_input(self, manifest: Manifest, input_hash: str) -> None:
        if manifest.input_hash != input_hash:
            problem = f"shard {manifest.shard} was committed for input {manifest.input_hash}, not for {input_hash}"
            remedy = "choose another out=... for the changed input, or delete the folder that holds this shard"
            raise UserError(problem, file=self._manifest_path(manifest.shard), key="input_hash", remedy=remedy)
