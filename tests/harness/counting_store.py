"""A blob store that counts its requests, over a local folder or an object store in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xner_ray.storage.local_disk import LocalDisk
from xner_ray.storage.manifest import FOLDER, Manifest, manifest_file
from xner_ray.storage.object_store import ObjectStore
from xner_ray.storage.shard_store import ShardStore


class CountingStore:
    """Passes all calls to a blob store, and counts them by the name of the method."""

    def __init__(self, blobs: Any):
        self.blobs, self.calls = blobs, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.blobs, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += name != "path"
            return method(*args, **kwargs)

        return call


def memory_store() -> ObjectStore:
    """An object store in the memory of this process."""
    from obstore.store import MemoryStore

    store = ObjectStore("s3://memory/run")
    store._store = MemoryStore()
    return store


def shard_store(root: Path | None) -> tuple[ShardStore, Counter[str]]:
    """A shard store in a folder, or in memory, and the numbers of its requests."""
    store = ShardStore.__new__(ShardStore)
    store.blobs = CountingStore(memory_store() if root is None else LocalDisk(root))
    return store, store.blobs.calls


def manifest(number: int) -> Manifest:
    """An artificial manifest."""
    shard, attempt = f"de-shard-{number:06d}", f"{number:016x}"
    extra = {"entities": number, "quarantined": 0, "precision": "bf16", "label.tokens": 9 * number}
    return Manifest(shard, attempt, f"{shard}.{attempt}.parquet", 1000, 4, f"{number:064x}", f"in-{number}", extra)


def write_manifests(root: Path, numbers: Iterable[int]) -> None:
    """Write artificial manifests into the folder of a store."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        made = manifest(number)
        (root / manifest_file(made.shard)).write_text(made.to_json())


def write_history(store: ShardStore, number: int) -> None:
    """Write artificial manifests and their data files without the protocol of a commit, and pack them."""
    raw = store.blobs.blobs  # type: ignore[attr-defined]
    if isinstance(raw, LocalDisk):
        write_manifests(raw.root, range(number))
        for i in range(number):
            (raw.root / manifest(i).file).write_bytes(b"data")
    else:
        for made in map(manifest, range(number)):
            raw._store.put(manifest_file(made.shard), made.to_json().encode())
            raw._store.put(made.file, b"data")
    store.pack(store.committed())
