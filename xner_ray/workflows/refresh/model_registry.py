"""The promoted students and the pointer to the current ones, on a file system or in an object store.

Uploading the models comes first. The creation of `versions/NUMBER.json` then commits the promotion. The version with the highest
number is current. `current.json` and, on a file system, the symlink `current` are copies for readers, replaced atomically.
They are written again until they agree with the versions, so a refresh that was suspended while another one promoted cannot set
them back.

A refresh lists its files in `students/NUMBER.json` before it uploads them, so the files of a killed refresh can be deleted.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from xner_ray.storage.atomic import replace_symlink
from xner_ray.storage.blob_store import BlobStore
from xner_ray.storage.failpoints import failpoint
from xner_ray.storage.local_disk import LocalDisk

POINTER, LINK = "current.json", "current"
_NUMBER = re.compile(r"(?:.*/)?(\d{6})\.json")


class ModelRegistry:
    """The promoted versions in a store."""

    def __init__(self, store: BlobStore):
        self.store = store

    def versions(self) -> list[int]:
        """The numbers of the promoted versions, oldest first."""
        return self._numbers("versions")

    def version(self, number: int) -> dict[str, Any]:
        """The record of a version."""
        return json.loads(self.store.read(f"versions/{number:06d}.json") or b"{}")

    def current(self) -> dict[str, Any] | None:
        """The record of the newest version; None before the first promotion."""
        versions = self.versions()
        return self.version(versions[-1]) if versions else None

    def upload(self, number: int, models: dict[str, Path]) -> dict[str, str]:
        """Copy models to the store. `commit` makes them visible to readers.

        Args:
            number: of the refresh.
            models: the folder of each language's model.

        Returns:
            the folder of each language's model in the store.
        """
        folders = {language: f"students/{number:06d}/{language}" for language in models}
        files = {
            f"{folders[language]}/{file.relative_to(model).as_posix()}": file
            for language, model in models.items()
            for file in sorted(model.rglob("*"))
            if file.is_file()
        }
        self.store.write(f"students/{number:06d}.json", json.dumps(sorted(files)).encode(), "upload")
        for name, file in files.items():
            self.store.write_file(name, file, "student")
        return folders

    def commit(self, number: int, record: dict[str, Any]) -> None:
        """Make a version the current one.

        Args:
            number: of the refresh.
            record: the content of `current.json`, without the number.
        """
        failpoint("promotion.uploaded")
        self.store.create_if_absent(f"versions/{number:06d}.json", _json({"version": number, **record}), "promotion")
        failpoint("promotion.committed")
        self.update_pointer()

    def update_pointer(self) -> None:
        """Write the pointer to the newest version. This also repairs the pointer after a killed refresh."""
        while versions := self.versions():
            record = _json(self.version(versions[-1]))
            if self.store.read(POINTER) != record:
                self.store.write(POINTER, record, "pointer")
            if isinstance(self.store, LocalDisk):
                replace_symlink(self.store.root / LINK, f"students/{versions[-1]:06d}")
            if self.versions()[-1] == versions[-1]:
                return

    def delete_old_versions(self, most: int, refresh: int) -> list[int]:
        """Delete all but the newest versions, and the files of killed refreshes.

        Args:
            most: number of versions to keep.
            refresh: the number of the present refresh, whose files stay.

        Returns:
            the numbers of the deleted versions.
        """
        versions = self.versions()
        deleted = versions[:-most]
        for number in deleted:
            self.store.delete(f"versions/{number:06d}.json")
        unused = [x for x in self._numbers("students") if x < refresh and x not in versions[-most:]]
        for number in unused:
            if isinstance(self.store, LocalDisk):  # also removes temporary files of a killed refresh
                shutil.rmtree(self.store.root / f"students/{number:06d}", ignore_errors=True)
            else:
                for file in json.loads(self.store.read(f"students/{number:06d}.json") or b"[]"):
                    self.store.delete(file)
            self.store.delete(f"students/{number:06d}.json")
        return deleted

    def _numbers(self, folder: str) -> list[int]:
        matches = (_NUMBER.fullmatch(name) for name in self.store.list(folder))
        return sorted(int(match[1]) for match in matches if match)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()
