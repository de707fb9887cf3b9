"""Promoted students, and the pointer to the current ones: on a file system or in an object store.

A promotion is one creation, `versions/NUMBER.json`, after its models are all there; the version with the highest number is the
current one. `current.json` and, on a file system, the symlink `current` are copies for readers, each replaced whole. They are
set again until they say what the versions say, so a refresh that was asleep while another one promoted cannot leave them behind.

What a night is about to upload it lists first (`students/NUMBER.json`): so what a killed one left can be found and deleted.
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
    """The versions in one place."""

    def __init__(self, store: BlobStore):
        self.store = store

    def versions(self) -> list[int]:
        """Numbers of the promoted versions, oldest first."""
        return self._numbers("versions")

    def version(self, number: int) -> dict[str, Any]:
        return json.loads(self.store.read(f"versions/{number:06d}.json") or b"{}")

    def current(self) -> dict[str, Any] | None:
        """The newest version; None before the first promotion."""
        versions = self.versions()
        return self.version(versions[-1]) if versions else None

    def upload(self, number: int, models: dict[str, Path]) -> dict[str, str]:
        """Copy models, by language; nobody sees them before `commit`. Returns their folders in the place."""
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
        """Make a version the current one; `record` is what `current.json` will hold."""
        failpoint("promotion.uploaded")
        self.store.create_if_absent(f"versions/{number:06d}.json", _json({"version": number, **record}), "promotion")
        failpoint("promotion.committed")
        self.point()

    def point(self) -> None:
        """Have the pointer say what the versions say, also where a killed refresh did not come to it."""
        while versions := self.versions():
            record = _json(self.version(versions[-1]))
            if self.store.read(POINTER) != record:
                self.store.write(POINTER, record, "pointer")
            if isinstance(self.store, LocalDisk):
                replace_symlink(self.store.root / LINK, f"students/{versions[-1]:06d}")
            if self.versions()[-1] == versions[-1]:
                return

    def keep(self, most: int, night: int) -> list[int]:
        """Delete versions but for the newest, and what killed nights before this one left; returns the numbers deleted."""
        versions = self.versions()
        gone = versions[:-most]
        for number in gone:
            self.store.delete(f"versions/{number:06d}.json")
        left = [x for x in self._numbers("students") if x < night and x not in versions[-most:]]
        for number in left:
            if isinstance(self.store, LocalDisk):  # with the temp file that a killed one was writing
                shutil.rmtree(self.store.root / f"students/{number:06d}", ignore_errors=True)
            else:
                for file in json.loads(self.store.read(f"students/{number:06d}.json") or b"[]"):
                    self.store.delete(file)
            self.store.delete(f"students/{number:06d}.json")
        return gone

    def _numbers(self, folder: str) -> list[int]:
        found = (_NUMBER.fullmatch(name) for name in self.store.list(folder))
        return sorted(int(match[1]) for match in found if match)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()
