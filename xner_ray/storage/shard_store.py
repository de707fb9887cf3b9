"""Shards and their manifests: each shard is committed exactly once. The package docstring describes the protocol.

A shard is serialized in memory before it is written (at most some tens of MB). So its hash is known before the first byte is
written, the writer can write it again, and a full disk is noticed in one place.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.errors import UserError
from xner_ray.storage.atomic import TEMP, random_id
from xner_ray.storage.blob_store import check_create_if_absent, open_blob_store
from xner_ray.storage.failpoints import failpoint
from xner_ray.storage.fingerprint import hash_bytes
from xner_ray.storage.manifest import FOLDER, Manifest, is_shard_name, manifest_file
from xner_ray.storage.manifest_packs import FOLDER as PACKS
from xner_ray.storage.manifest_packs import read_packs, write_pack
from xner_ray.storage.manifest_table import Manifests, list_manifests
from xner_ray.storage.verify import damaged, gone

log = logging.getLogger(__name__)

GRACE_SECONDS = 6 * 3600.0  # longer than a writer can be suspended and still commit
_DATA = re.compile(r".+\.[0-9a-f]{16}\.parquet")
_running_file, _damage_note = "running/{}".format, "damaged/{}".format  # of a shard's name
# The same table has to give the same bytes: a change here changes every hash.
_WRITER: dict[str, Any] = {
    "version": "2.6", "compression": "zstd", "compression_level": 3, "use_dictionary": True, "write_statistics": True,
    "data_page_version": "1.0", "data_page_size": 1 << 20, "row_group_size": 1 << 16, "write_page_checksum": True,
}  # fmt: skip


def _is_own(name: str) -> bool:
    """Whether a file in the root is data of a shard or temporary. Files of other programs stay."""
    return bool(_DATA.fullmatch(name) or TEMP.fullmatch(name))


def parquet_bytes(table: pa.Table) -> memoryview:
    """A table as a Parquet file. Equal tables give equal bytes: chunks, slices and schema metadata do not matter."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(None).combine_chunks(), sink, **_WRITER)
    return memoryview(sink.getvalue())


@dataclass(frozen=True)
class StoreListing:
    """What a store held at one moment.

    Attributes:
        manifests: of the committed shards.
        damaged: committed shards whose file is gone, has another size, or was found damaged by a reader.
        unnamed: data files that no manifest names, and temporary files, with their age in seconds.
    """

    manifests: Manifests
    damaged: frozenset[str]
    unnamed: dict[str, float]


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
        if not is_shard_name(shard):
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
            self.blobs.create_if_absent(manifest_file(own.shard), text, "manifest")
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
        text = self.blobs.read(manifest_file(shard))
        return None if text is None else Manifest.from_json(text, self._manifest_path(shard))

    def committed(self, known: Manifests | None = None) -> Manifests:
        """The manifests of all committed shards by name, sorted.

        Args:
            known: an earlier answer. Only manifests that are newer are read.

        Raises:
            UserError: a manifest is corrupt.
        """
        return list_manifests(self.blobs, self.blobs.entries(FOLDER), known or read_packs(self.blobs))

    def listing(self) -> StoreListing:
        """The manifests and the state of their files. Raises: UserError if a manifest is corrupt."""
        entries = self.blobs.entries(FOLDER)
        manifests = list_manifests(self.blobs, entries, read_packs(self.blobs))
        files = self.blobs.entries()  # after the manifests: a file is written before its manifest
        committed = dict(zip(manifests, zip(manifests.files(), manifests.column("size"), strict=True), strict=True))
        damaged = {s for s, (file, size) in committed.items() if file not in files or files[file].size != size}
        notes = {Path(name).name for name in self.blobs.entries("damaged")}
        damaged |= {s for s in notes if s in manifests and self._is_noted(s, manifests)}
        named = {file for file, _ in committed.values()}
        unnamed = {name: e.age for name, e in files.items() if name not in named and _is_own(name)}
        unnamed |= {name: e.age for name, e in entries.items() if TEMP.fullmatch(name)}
        return StoreListing(manifests, frozenset(damaged), unnamed)

    def pack(self, manifests: Manifests) -> Manifests:
        """Write the manifests to a file for fast listings, if enough are new; see `manifest_packs.write_pack`."""
        return write_pack(self.blobs, manifests)

    def files(self, shards: Iterable[str] | None = None, manifests: Manifests | None = None) -> list[str]:
        """Paths of committed data files in the order of the shards' names; default: of all shards.

        Args:
            shards: names of shards.
            manifests: of the store, if they were listed before.

        Raises:
            UserError: a file is gone, or its content is not what was committed.
        """
        listed = self.committed() if manifests is None else manifests
        chosen = listed if shards is None else listed.select(shards)
        with ThreadPoolExecutor(16) as threads:  # hashing and reading release the interpreter lock
            hashes = list(threads.map(self.blobs.sha256, chosen.files()))
        for shard, sha256, expected in zip(chosen, hashes, chosen.column("sha256"), strict=True):
            if sha256 != expected:
                raise self._damage(chosen[shard], is_gone=sha256 is None)
        return [self.blobs.path(file) for file in chosen.files()]

    def missing(self, shards: Mapping[str, str], manifests: Manifests | None = None) -> list[str]:
        """Which of the shards (name -> input hash) are not committed.

        Args:
            shards: names and input hashes.
            manifests: of the store, if they were listed before.

        Raises:
            UserError: an input changed.
        """
        committed = self.committed() if manifests is None else manifests
        for name, input_hash in committed.by_shard("input_hash").items():
            if shards.get(name, input_hash) != input_hash:
                self._check_input(committed[name], shards[name])
        return [name for name in shards if name not in committed]

    def damaged(self, shards: Iterable[str]) -> list[str]:
        """Which of the shards are committed, but their file is gone, has another size, or was found damaged by a reader."""
        found = self.listing().damaged
        return [shard for shard in shards if shard in found]

    def _is_noted(self, shard: str, manifests: Manifests) -> bool:
        # A note about an attempt that was replaced since says nothing.
        return self.blobs.read(_damage_note(shard)) == manifests[shard].attempt.encode()

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
        """Read the file of a committed shard, for a reader that decodes a few columns; see `read`."""
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

    def sweep(self, grace_seconds: float = GRACE_SECONDS, listing: StoreListing | None = None) -> list[str]:
        """Delete data files that no manifest names and temporary files, if they are older than the grace time.

        Args:
            grace_seconds: within this time, a slow writer may still commit.
            listing: of the store, if it was listed before.

        Returns:
            the names of the deleted files. Files of other programs stay.
        """
        listed = listing or self.listing()
        packs = {name: age for name, age in self.blobs.list(PACKS).items() if TEMP.fullmatch(name)}
        ages = listed.unnamed | packs | self.blobs.list("running")
        old = [name for name, age in ages.items() if age >= grace_seconds]
        # The manifests are read again: a slow writer may have committed a file after the listing.
        named = set(self.committed(listed.manifests).files()) if old else set()
        orphans = sorted(name for name in old if name not in named)
        for name in orphans:
            self.blobs.delete(name)
        return orphans

    def uncommit(self, shard: str) -> None:
        """Delete the manifest of a shard, so that it is made again. Only for a user who asks for it, and for damaged shards."""
        self.blobs.delete(manifest_file(shard))
        self.blobs.delete(_damage_note(shard))

    def probe(self) -> None:
        """Check that the store can be written, and can create a file only if it is absent. Raises: UserError if not."""
        check_create_if_absent(self.blobs)

    def _manifest_path(self, shard: str) -> str:
        return self.blobs.path(manifest_file(shard))

    def _check_input(self, manifest: Manifest, input_hash: str) -> None:
        if manifest.input_hash != input_hash:
            problem = f"shard {manifest.shard} was committed for input {manifest.input_hash}, not for {input_hash}"
            remedy = "choose another out=... for the changed input, or delete the folder that holds this shard"
            raise UserError(problem, file=self._manifest_path(manifest.shard), key="input_hash", remedy=remedy)
