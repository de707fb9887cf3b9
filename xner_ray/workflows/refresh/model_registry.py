"""The promoted students and the pointer to the current ones, on a file system or in an object store.

Uploading the models comes first. The creation of `versions/NUMBER.json` then commits the promotion. The version with the highest
number is current, unless `rollback.json` names an older one. `current.json` and, on a file system, the symlink `current` are
copies for readers, replaced atomically. They are written again until they agree with the versions, so a refresh that was
suspended while another one promoted cannot set them back.

A refresh claims its number by creating `students/NUMBER.json`, which lists its files, before it uploads them. So the models of a
version are never written twice, and the files of a killed refresh can be deleted.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from xner_ray.errors import UserError
from xner_ray.storage.atomic import random_id, replace_symlink
from xner_ray.storage.blob_store import BlobStore
from xner_ray.storage.failpoints import failpoint
from xner_ray.storage.fingerprint import hash_folder
from xner_ray.storage.local_disk import LocalDisk

POINTER, LINK, ROLLBACK = "current.json", "current", "rollback.json"
_FOLDERS = ("versions", "students", "reports")  # with numbers of refreshes
_NUMBER = re.compile(r"(?:.*/)?(\d{6})\.json")
_RUN_AGAIN = "run `xner refresh` again: it takes the next number"


@dataclass(frozen=True)
class _Student:
    path: str
    identity: str = ""
    trained_in: str = ""


@dataclass(frozen=True)
class _Version:
    version: int
    students: dict[str, _Student]
    made_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Upload:
    token: str
    files: list[str]


@dataclass(frozen=True)
class Rollback:
    """The content of `rollback.json`.

    Attributes:
        version: the version that is current.
        newest: the newest version at that time. A newer one is current once it is promoted.
        pinned: no refresh promotes another version.
    """

    version: int
    newest: int
    pinned: bool


_SCHEMAS: dict[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in (_Version, _Upload, Rollback)}


class ModelRegistry:
    """The promoted versions in a store."""

    def __init__(self, store: BlobStore):
        self.store = store

    def versions(self) -> list[int]:
        """The numbers of the promoted versions, oldest first."""
        return self._numbers("versions")

    def version(self, number: int) -> dict[str, Any]:
        """The record of a version. Raises: UserError if it is gone or damaged."""
        file = f"versions/{number:06d}.json"
        remedy = f"put it back from a backup, or delete it: version {number} is then not used any more"
        return self._read(file, _Version, remedy)[0]

    def current(self) -> dict[str, Any] | None:
        """The record of the current version; None before the first promotion."""
        number = self._current_number()
        return None if number is None else self.version(number)

    def pinned(self) -> int | None:
        """The version that no refresh replaces; None if there is none."""
        rollback = self._rollback()
        return rollback.version if rollback and rollback.pinned else None

    def last_number(self) -> int:
        """The largest number of a refresh that left anything here; 0: there is none."""
        return max((number for folder in _FOLDERS for number in self._numbers(folder)), default=0)

    def upload(self, number: int, models: dict[str, Path]) -> dict[str, str]:
        """Copy models to the store. `commit` makes them visible to readers.

        Args:
            number: of the refresh.
            models: the folder of each language's model.

        Returns:
            the folder of each language's model in the store.

        Raises:
            UserError: another refresh used this number.
        """
        folders = {language: f"students/{number:06d}/{language}" for language in models}
        files = {
            f"{folders[language]}/{file.relative_to(model).as_posix()}": file
            for language, model in models.items()
            for file in sorted(model.rglob("*"))
            if file.is_file()
        }
        if self.store.exists(f"versions/{number:06d}.json"):
            raise UserError(f"version {number} is published already", file=self.store.path(""), remedy=_RUN_AGAIN)
        self._create(f"students/{number:06d}.json", _json({"token": random_id(), "files": sorted(files)}), "upload")
        for name, file in files.items():
            self.store.write_file(name, file, "student")
        return folders

    def commit(self, number: int, record: dict[str, Any]) -> None:
        """Make a version the current one, unless another one is pinned.

        Args:
            number: of the refresh.
            record: the content of `current.json`, without the number.

        Raises:
            UserError: another refresh promoted a version with this number.
        """
        failpoint("promotion.uploaded")
        self._create(f"versions/{number:06d}.json", _json({"version": number, **record}), "promotion")
        failpoint("promotion.committed")
        self.update_pointer()

    def roll_back(self, version: int | None = None) -> dict[str, Any]:
        """Make an older version current, and pin it. A refresh that runs now does not replace it.

        Args:
            version: its number; default: the version before the current one.

        Returns:
            the record of the version.

        Raises:
            UserError: there is no such version, or its models are gone or were edited.
        """
        versions, current = self.versions(), self._current_number()
        number = version if version is not None else max((v for v in versions if v < (current or 0)), default=None)
        if number not in versions:
            problem = "there is no older version" if version is None else f"there is no version {version}"
            known = f"one of {', '.join(map(str, versions))}" if versions else "run `xner refresh` first"
            raise UserError(problem, file=self.store.path("versions"), key="--rollback", remedy=known)
        record = self.version(number)
        self._check_models(record)
        self.store.write(ROLLBACK, _json(asdict(Rollback(number, versions[-1], pinned=True))), "rollback")
        self.update_pointer()
        return record

    def unpin(self) -> int:
        """Let refreshes promote again. The current version stays current until then. Returns: its number."""
        rollback = self._rollback()
        if rollback is None or not rollback.pinned:
            remedy = "nothing is to be done: refreshes promote"
            raise UserError("no version is pinned", file=self.store.path(ROLLBACK), key="--unpin", remedy=remedy)
        self.store.write(ROLLBACK, _json(asdict(rollback) | {"pinned": False}), "rollback")
        self.update_pointer()
        return rollback.version

    def update_pointer(self) -> None:
        """Write the pointer to the current version. This also repairs the pointer after a killed refresh."""
        while (number := self._current_number()) is not None:
            record = _json(self.version(number))
            if self.store.read(POINTER) != record:
                self.store.write(POINTER, record, "pointer")
            if isinstance(self.store, LocalDisk):
                replace_symlink(self.store.root / LINK, f"students/{number:06d}")
            if self._current_number() == number:
                return

    def delete_old_versions(self, most: int, refresh: int) -> list[int]:
        """Delete all but the newest versions and the current one, and the files of killed refreshes.

        Args:
            most: number of versions to keep.
            refresh: the number of the present refresh, whose files stay.

        Returns:
            the numbers of the deleted versions.
        """
        versions = self.versions()
        kept = {*versions[-most:], self._current_number()}
        deleted = [number for number in versions if number not in kept]
        for number in deleted:
            self.store.delete(f"versions/{number:06d}.json")
        for number in [x for x in self._numbers("students") if x < refresh and x not in kept]:
            if isinstance(self.store, LocalDisk):  # also removes temporary files of a killed refresh
                shutil.rmtree(self.store.root / f"students/{number:06d}", ignore_errors=True)
            else:
                for file in self._files(number):
                    self.store.delete(file)
            self.store.delete(f"students/{number:06d}.json")
        return deleted

    def _current_number(self) -> int | None:
        versions, rollback = self.versions(), self._rollback()
        if rollback and rollback.version in versions and (rollback.pinned or versions[-1] <= rollback.newest):
            return rollback.version
        return versions[-1] if versions else None

    def _rollback(self) -> Rollback | None:
        if not self.store.exists(ROLLBACK):
            return None
        remedy = "delete this file, and roll back again: until then the newest version is current"
        return self._read(ROLLBACK, Rollback, remedy)[1]

    def _files(self, number: int) -> list[str]:
        return self._read(f"students/{number:06d}.json", _Upload, "delete this file and the folder beside it")[1].files

    def _check_models(self, record: dict[str, Any]) -> None:
        """Raises: UserError if models of a version are gone or, on a file system, were edited."""
        number = record["version"]
        for file in self._files(number):
            if not self.store.exists(file):
                remedy = "roll back to another version"
                raise UserError(f"a file of version {number} is gone", file=self.store.path(file), remedy=remedy)
        for student in record["students"].values() if isinstance(self.store, LocalDisk) else ():
            folder = self.store.path(student["path"])
            if "identity" in student and hash_folder(folder) != student["identity"]:
                remedy = "put the old files back, or roll back to another version"
                raise UserError("was changed after it was promoted", file=folder, remedy=remedy)

    def _create(self, name: str, data: bytes, step: str) -> None:
        """Create a file that nothing may replace."""
        # If the reply was lost, the store says that the file exists, and it is this one.
        if not self.store.create_if_absent(name, data, step) and self.store.read(name) != data:
            raise UserError("another refresh used this number", file=self.store.path(name), remedy=_RUN_AGAIN)

    def _read(self, name: str, kind: type, remedy: str) -> tuple[Any, Any]:
        """The content of a JSON file as it is, and as a value of the schema `kind`."""
        data, file = self.store.read(name), self.store.path(name)
        if data is None:
            raise UserError("is gone", file=file, remedy=remedy)
        try:
            value = _SCHEMAS[kind].validate_json(data)
            return json.loads(data), value
        except ValidationError as e:
            error = e.errors()[0]
            key = ".".join(map(str, error["loc"])) or None
            raise UserError(f"is damaged: {error['msg']}", file=file, key=key, remedy=remedy) from e

    def _numbers(self, folder: str) -> list[int]:
        matches = (_NUMBER.fullmatch(name) for name in self.store.list(folder))
        return sorted(int(match[1]) for match in matches if match)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()
