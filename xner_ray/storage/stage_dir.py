"""Stage directories: `out/<stage>/<fingerprint>` holds the result of one stage, or of one piece of it, for one set of parts.

    parts.json   what the result depends on; the fingerprint in the path is its hash
    done.json    the completion marker, written last, when every other file is on the disk

Results of different configs, inputs or stage versions never mix, because their directories have different names. The cost is
disk space: results of an older config stay until a user deletes them.

A directory without a marker is unfinished. Its stage runs again and may reuse what lies there. The marker lists the files that
it vouches for with their sizes and hashes. If one of them is gone or changed, or the marker is corrupt, the result is damaged:
`discard_damaged` deletes the marker and all listed files, and the stage makes them again. Models are the exception: they cost
hours, and a user may have edited one. `check_contents` is an error for them.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError
from xner_ray.storage.atomic import TEMP, explained, sync_files, sync_tree, write_bytes
from xner_ray.storage.fingerprint import canonical_json, describe_change, fingerprint, hash_file
from xner_ray.storage.verify import NOTE, damage_note

PARTS, MARKER = "parts.json", "done.json"
_DELETE = "delete this file, and run again: it is written again"


@dataclass(frozen=True)
class StageDir:
    """The directory of a stage's result. Nothing is written before `create`.

    Attributes:
        path: the directory.
        parts: what the result depends on, as plain JSON values.
        fixed: the path does not depend on the parts. `create` takes the marker of a result for other parts away.
    """

    path: Path
    parts: dict[str, Any]
    fixed: bool = False

    @classmethod
    def of(cls, out: str | Path, stage: str, parts: Mapping[str, Any], fixed: bool = False) -> StageDir:
        """The directory for these parts.

        Args:
            out: output directory of the run.
            stage: `student`, or with a piece `student/de`.
            parts: JSON values, pydantic models or sets.
            fixed: use `out/stage` itself, because its path is an interface.
        """
        plain = json.loads(canonical_json(dict(parts)))
        folder = Path(out) / stage
        return cls(folder if fixed else folder / fingerprint(parts), plain, fixed)

    def create(self) -> StageDir:
        """Make the directory and write its parts.

        Raises:
            UserError: it cannot be written, or it holds other parts than its name says.
        """
        if not self.fixed and (self.path / PARTS).exists() and not self._holds_parts():
            remedy = "delete this file: it is then written again, and no result is lost"
            raise UserError("not the parts of this folder's name", file=self.path / PARTS, remedy=remedy)
        if not self._holds_parts():
            if self.fixed:
                (self.path / MARKER).unlink(missing_ok=True)
            write_bytes(self.path / PARTS, pretty_json(self.parts), step="parts", if_absent=not self.fixed)
        with explained(self.path):
            os.utime(self.path / PARTS)  # `changes` compares with the directory that was used last
        return self

    def _holds_parts(self) -> bool:
        return read_json(self.path / PARTS) == self.parts

    def changes(self) -> list[str]:
        """What differs from the directory that was used last, one line a key; empty if this one exists or is the first."""
        if self.fixed:
            before = read_parts(self.path)
            return describe_change(before, self.parts) if before is not None and before != self.parts else []
        others = list(self.path.parent.glob(f"*/{PARTS}"))
        if self.path / PARTS in others:
            return []
        last = max(others, key=lambda p: (p.stat().st_mtime_ns, p), default=None)
        return describe_change(read_parts(last.parent) or {}, self.parts) if last else []

    def commit(self, items: Mapping[str, str] | None = None, files: Iterable[Path] | None = None) -> None:
        """Write the completion marker.

        Args:
            items: by name, a hash of each item that was processed in this directory, such as its shards.
            files: files that the marker vouches for; default: all below the directory.
        """
        commit_dir(self.path, {"items": digest(items or {})}, files)

    def problem(self, items: Mapping[str, str] | None = None, sizes_only: str = "") -> str | None:
        """Why the result is not complete; None: it is.

        Args:
            items: the items that the result must cover. A marker for other items does not count.
            sizes_only: glob pattern of files whose readers compare the hash. Here they must only be as long as they were.
        """
        try:
            marker = _read_marker(self.path)
        except UserError as e:
            return f"{e.file} {e.problem}"
        if self.fixed and marker is not None and not self._holds_parts():
            return "made from other parts"
        if marker is None:
            return "unfinished" if (self.path / PARTS).exists() else "not started"
        if damaged := self._damaged(marker, sizes_only):
            return damaged[0]
        return None if marker["items"] == digest(items or {}) else "its items changed"

    def is_complete(self, items: Mapping[str, str] | None = None, sizes_only: str = "") -> bool:
        """Whether the marker is valid for these items; see `problem`."""
        return self.problem(items, sizes_only) is None

    def discard_damaged(self, sizes_only: str = "") -> list[str]:
        """If a file is not as the marker says, delete the marker and all files that it lists, so that they are made again.

        Args:
            sizes_only: as in `problem`.

        Returns:
            one line for each damaged file.
        """
        try:
            marker = _read_marker(self.path)
        except UserError as e:
            (self.path / MARKER).unlink()
            return [f"{e.file} {e.problem}"]
        damaged = self._damaged(marker, sizes_only) if marker is not None else []
        if marker is not None and damaged:
            (self.path / MARKER).unlink()
            for name in marker["files"]:
                if name != PARTS:
                    (self.path / name).unlink(missing_ok=True)
                    damage_note(self.path / name).unlink(missing_ok=True)
            for folder, _, _ in os.walk(self.path, topdown=False):
                with contextlib.suppress(OSError):  # it holds other files
                    os.rmdir(folder)
        return damaged

    def _damaged(self, marker: Mapping[str, Any], sizes_only: str) -> list[str]:
        """A line for each file that is not as the marker says."""
        found = []
        for name, size in marker["files"].items():
            file, sha256 = self.path / name, marker.get("sha256", {}).get(name)
            now, is_read_checked = file.stat().st_size if file.is_file() else None, fnmatch.fnmatch(name, sizes_only)
            if now is None:
                found.append(f"{file} is gone")
            elif now < size or (now > size and not is_read_checked):
                found.append(f"{file} has {now:,} bytes instead of {size:,}")
            elif damage_note(file).exists():
                found.append(f"{file} was found damaged")
            elif sha256 and not is_read_checked and hash_file(file) != sha256:
                found.append(f"{file} has another content")
        return found


def check_contents(path: Path) -> None:
    """Compare the files of a complete stage directory with their hashes. A directory without a marker is not checked.

    Raises:
        UserError: a file was changed after its commit, e.g. a model was edited in place.
    """
    marker = _read_marker(path) or {}
    for name, sha256 in marker.get("sha256", {}).items():
        if not (path / name).is_file() or hash_file(path / name) != sha256:
            remedy = (
                f"put the old file back, or delete {path}: `xner run` then makes it again. Edit only a copy of a model"
            )
            raise UserError("was changed after it was committed", file=path / name, remedy=remedy)


def commit_dir(path: Path, info: Mapping[str, Any], files: Iterable[Path] | None = None) -> None:
    """Sync a stage directory and write its completion marker.

    A training commits its model with this function in the process that saved it, so that the model counts as done even if the
    driver dies.

    Args:
        path: a directory that `StageDir.create` made.
        info: what else the marker says.
        files: files that it vouches for; default: all below `path`. Other files are not synced, because they may be many.
    """
    if files is None:
        sync_tree(path)
    else:
        files = list(files)
        sync_files(files)
    chosen = sorted(files) if files is not None else sorted(p for p in path.rglob("*") if p.is_file())
    listed = {p.relative_to(path).as_posix(): p for p in chosen if p.name != MARKER and not _temporary(p)}
    marker = {
        "items": digest({}),
        **info,
        "files": {name: p.stat().st_size for name, p in listed.items()},
        "sha256": {name: hash_file(p) for name, p in listed.items()},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_bytes(path / MARKER, pretty_json(marker), step="done")


def digest(items: Mapping[str, str]) -> str:
    """A short hash of named items."""
    return hashlib.sha256(canonical_json(dict(items)).encode()).hexdigest()[:16]


def _temporary(path: Path) -> bool:
    return bool(TEMP.fullmatch(path.name)) or path.name.endswith(NOTE)


def read_parts(path: Path) -> dict[str, Any] | None:
    """The parts of a stage directory; None if the file is gone or corrupt. `StageDir.create` reports a corrupt one."""
    with contextlib.suppress(UserError):
        return read_json(path / PARTS)
    return None


def pretty_json(value: Mapping[str, Any]) -> bytes:
    """A JSON object with sorted keys and line breaks, for files that people read."""
    return (json.dumps(json.loads(canonical_json(dict(value))), indent=2, sort_keys=True) + "\n").encode()


def _read_marker(path: Path) -> dict[str, Any] | None:
    """The completion marker; None if there is none. Raises: UserError if it is corrupt."""
    marker = read_json(path / MARKER)
    sizes, hashes = (marker.get(key, {}) if marker else {} for key in ("files", "sha256"))
    is_valid = isinstance(sizes, dict) and isinstance(hashes, dict) and all(type(x) is int for x in sizes.values())
    if marker is not None and not (is_valid and "files" in marker and "items" in marker):
        raise UserError("is corrupt: keys are missing", file=path / MARKER, remedy=_DELETE)
    return marker


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if there is no such file. Raises: UserError if it is corrupt."""
    try:
        value = json.loads(path.read_bytes())
        if not isinstance(value, dict):
            raise ValueError("it holds no JSON object")
        return value
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise UserError(f"is corrupt: {e}", file=path, remedy=_DELETE) from e
