"""Shards and their manifests: the exactly-once part of the store, as the room's docstring tells it.

A shard is serialized in memory before it is written (MBs, at most some tens): so its hash is known before the first
byte lands, the writer can put it back, and a full disk shows in one place.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
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
from xner_ray.storage.blob_store import open_blob_store
from xner_ray.storage.failpoints import failpoint

log = logging.getLogger(__name__)

GRACE_SECONDS = 6 * 3600.0  # longer than any pause that a writer comes back from
_NAME = re.compile(r"\w[\w.-]{0,180}", re.ASCII)
_DATA = re.compile(r".+\.[0-9a-f]{16}\.parquet")
_manifest, _running = "manifest/{}.json".format, "running/{}".format  # of a shard's name
# Part of the promise that the same table gives the same bytes; a change here changes every hash.
_WRITER: dict[str, Any] = {
    "version": "2.6", "compression": "zstd", "compression_level": 3, "use_dictionary": True, "write_statistics": True,
    "data_page_version": "1.0", "data_page_size": 1 << 20, "row_group_size": 1 << 16, "write_page_checksum": True,
}  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """What a commit says: `file` lies in the store's root, `size` (bytes) and `sha256` are the file's."""

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

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, file: object = None) -> Manifest:
        """Raises: UserError naming `file` (and the key) where the text is no manifest of this version."""
        problem, key = None, None
        try:
            made = TypeAdapter(cls).validate_json(text)
            if made.file != f"{made.shard}.{made.attempt}.parquet" or not _NAME.fullmatch(made.shard):
                problem, key = f"it names {made.file!r}", "file"
            elif file is not None and Path(str(file)).stem != made.shard:
                problem, key = f"it is of shard {made.shard}", "shard"
        except ValidationError as e:
            problem, key = e.errors()[0]["msg"], ".".join(map(str, e.errors()[0]["loc"])) or None
        if problem:
            remedy = "delete this manifest: the shard is then done again"
            raise UserError(f"the manifest is corrupt: {problem}", file=file, key=key, remedy=remedy)
        return made


def parquet_bytes(table: pa.Table) -> memoryview:
    """The one Parquet file of a table: chunks, slices and schema metadata leave no trace in the bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(None).combine_chunks(), sink, **_WRITER)
    return memoryview(sink.getvalue())


class ShardStore:
    """The shards of one folder (a path, or a URL that `open_blob_store` takes), which is made at the first commit."""

    def __init__(self, root: str | Path):
        self.blobs = open_blob_store(root)

    def commit(self, shard: str, table: pa.Table, input_hash: str, extra: Mapping[str, Any] | None = None) -> Manifest:
        """Commit a shard, or learn that it is committed: all who commit it get the same manifest.

        Args:
            shard: its name, of ASCII letters, digits, `_`, `-` and `.`.
            input_hash: hash of what it was made from.
            extra: JSON for the manifest, e.g. counts for the ledger; that of the attempt that won is kept.

        Raises:
            UserError: no room or permission (nothing was committed, nothing is left), or committed for another input.
        """
        if not _NAME.fullmatch(shard):
            raise UserError(f"{shard!r} cannot name a shard", key="shard", remedy="use letters, digits, _, - and .")
        done = self.manifest(shard)
        if done is None:
            data, attempt = parquet_bytes(table), random_id()
            sha, file = hashlib.sha256(data).hexdigest(), f"{shard}.{attempt}.parquet"
            done = self._publish(
                Manifest(shard, attempt, file, table.num_rows, len(data), sha, input_hash, dict(extra or {})), data
            )
        self.blobs.delete(_running(shard))
        self._check_input(done, input_hash)
        return done

    def _publish(self, mine: Manifest, data: memoryview) -> Manifest:
        text = mine.to_json().encode()  # before any write: `extra` may not be JSON
        self.blobs.write(mine.file, data, "data")
        try:
            self.blobs.create_if_absent(_manifest(mine.shard), text, "manifest")
        except UserError:  # means not written: nothing names the file
            self.blobs.delete(mine.file)
            raise
        done = self.manifest(mine.shard)
        if done is not None and done.attempt != mine.attempt:
            failpoint("commit.lost")
            self.blobs.delete(mine.file)
            if (done.input_hash, done.sha256) != (mine.input_hash, mine.sha256):
                log.warning("shard %s: attempt %s came second with other bytes or input", mine.shard, mine.attempt)
            return done
        if not self.blobs.exists(mine.file):  # a sweep took it while we slept past the grace time
            self.blobs.write(mine.file, data, "restore")
        return mine

    def begin(self, shard: str) -> None:
        """Note that somebody works on a shard, until it is committed: news for people, nothing rests on it."""
        self.blobs.write(_running(shard), b"", "running")

    def running(self) -> dict[str, float]:
        """Shards that are begun and not committed, with the seconds since; their workers may be dead."""
        return {Path(n).name: age for n, age in self.blobs.list("running").items() if not TEMP.fullmatch(n)}

    def manifest(self, shard: str) -> Manifest | None:
        """The shard's manifest; None where it is not committed. Raises: UserError where it is corrupt."""
        text = self.blobs.read(_manifest(shard))
        return None if text is None else Manifest.from_json(text, self._where(shard))

    def committed(self) -> dict[str, Manifest]:
        """Every committed shard, sorted by name."""
        names = sorted(Path(n).stem for n in self.blobs.list("manifest") if n.endswith(".json"))
        with ThreadPoolExecutor(16) as threads:  # an object store answers in 10 ms, to each of many at once
            return {name: made for name, made in zip(names, threads.map(self.manifest, names), strict=True) if made}

    def files(self, shards: Iterable[str] | None = None) -> list[str]:
        """Paths of the committed data files in the order of shard names; only of `shards` where given."""
        wanted = None if shards is None else set(shards)
        return [self.blobs.path(m.file) for name, m in self.committed().items() if wanted is None or name in wanted]

    def missing(self, shards: Mapping[str, str]) -> list[str]:
        """Which of the shards (name -> input hash) are to be done. Raises: UserError where an input changed."""
        done = self.committed()
        for name in shards.keys() & done.keys():
            self._check_input(done[name], shards[name])
        return [name for name in shards if name not in done]

    def read(self, shard: str, verify: bool = False) -> pa.Table:
        """A committed shard; `verify` also hashes the bytes. Raises: UserError where it is not what was committed."""
        made = self.manifest(shard)
        if made is None:
            raise UserError(f"shard {shard} is not committed", file=self._where(shard), remedy="run its stage first")
        data = self.blobs.read(made.file)
        if data is None or len(data) != made.size or (verify and hashlib.sha256(data).hexdigest() != made.sha256):
            problem = "a manifest names this file, but it is gone" if data is None else "is not what was committed"
            remedy = f"delete {self._where(shard)}: the shard is then done again"
            raise UserError(problem, file=self.blobs.path(made.file), remedy=remedy)
        return pq.ParquetFile(pa.BufferReader(data)).read()

    def sweep(self, grace_seconds: float = GRACE_SECONDS) -> list[str]:
        """Delete orphans and temp files older than the grace time, return their names; other files are left alone."""
        # Listed before the manifests are read: what commits in between is either not listed or named.
        seen = self.blobs.list() | self.blobs.list("manifest") | self.blobs.list("running")
        named = {m.file for m in self.committed().values()}
        orphans = [n for n in seen if n not in named and (_DATA.fullmatch(n) or TEMP.fullmatch(n) or "running/" in n)]
        old = [n for n in orphans if seen[n] >= grace_seconds]
        for name in old:
            self.blobs.delete(name)
        return old

    def uncommit(self, shard: str) -> None:
        """Take a commit back, so that its shard is missing again; the data becomes an orphan. Only people ask for this."""
        self.blobs.delete(_manifest(shard))

    def probe(self) -> None:
        """See that files can be written here, and created only where absent. Raises: UserError where they cannot."""
        name = f"probe.{random_id()}.tmp"  # named as a temp file is: a sweep takes what a killed probe leaves
        try:
            if [self.blobs.create_if_absent(name, b"probe", "probe") for _ in range(2)] != [True, False]:
                problem = "this store cannot create a file only where absent, which exactly-once rests on"
                remedy = "use a local disk, or a store that honors If-None-Match (S3 does since 2024)"
                raise UserError(problem, file=self.blobs.path(""), key="out", remedy=remedy)
        finally:
            self.blobs.delete(name)

    def _where(self, shard: str) -> str:
        return self.blobs.path(_manifest(shard))

    def _check_input(self, made: Manifest, input_hash: str) -> None:
        if made.input_hash != input_hash:
            problem = f"shard {made.shard} was committed for input {made.input_hash}, not for {input_hash}"
            remedy = "a changed input is a new shard: choose another out=... or delete the folder that holds this one"
            raise UserError(problem, file=self._where(made.shard), key="input_hash", remedy=remedy)
