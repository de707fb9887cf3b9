"""Stage directories: `out/<stage>/<fingerprint>` holds the result of one stage, or of one piece of it, for one set of parts.

    parts.json   what the result depends on; the fingerprint in the path is its hash
    done.json    the completion marker, written last, when every other file is on the disk

Results of different configs, inputs or stage versions never mix, because their directories have different names. The price is
disk: results of an older config stay until a user deletes them.

A directory without a marker is unfinished. Its stage runs again and may reuse what lies there. The marker lists the files that
it vouches for with their sizes. If one of them is gone or has another size, the result is damaged: `discard_damaged` deletes the
marker and all listed files, and the stage makes them again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError
from xner_ray.storage.atomic import TEMP, explained, make_folder, sync_tree, write_bytes
from xner_ray.storage.fingerprint import canonical_json, describe_change, fingerprint

PARTS, MARKER = "parts.json", "done.json"


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
            raise UserError(
                "not the parts of this folder's name", file=self.path / PARTS, remedy=f"delete {self.path}"
            )
        if not self._holds_parts():
            (self.path / MARKER).unlink(missing_ok=True)
            write_bytes(self.path / PARTS, _pretty(self.parts), step="parts", if_absent=not self.fixed)
        with explained(self.path):
            os.utime(self.path / PARTS)  # `changes` compares with the directory that was used last
        return self

    def _holds_parts(self) -> bool:
        return _read(self.path / PARTS) == self.parts

    def changes(self) -> list[str]:
        """What differs from the directory that was used last, one line a key; empty if this one exists or is the first."""
        if self.fixed:
            before = _read(self.path / PARTS)
            return describe_change(before, self.parts) if before is not None and before != self.parts else []
        others = list(self.path.parent.glob(f"*/{PARTS}"))
        if self.path / PARTS in others:
            return []
        last = max(others, key=lambda p: (p.stat().st_mtime_ns, p), default=None)
        return describe_change(_read(last) or {}, self.parts) if last else []

    def commit(self, items: Mapping[str, str] | None = None, files: Iterable[Path] | None = None) -> None:
        """Write the completion marker.

        Args:
            items: by name, a hash of each item that was processed in this directory, such as its shards.
            files: files that the marker vouches for; default: all below the directory.
        """
        commit_dir(self.path, {"items": digest(items or {})}, files)

    def problem(self, items: Mapping[str, str] | None = None) -> str | None:
        """Why the result is not complete; None: it is.

        Args:
            items: the items that the result must cover. A marker for other items does not count.
        """
        marker = _read(self.path / MARKER)
        if self.fixed and marker is not None and not self._holds_parts():
            return "made from other parts"
        if marker is None:
            return "unfinished" if (self.path / PARTS).exists() else "not started"
        if damaged := self._damaged(marker):
            return damaged[0][1]
        return None if marker["items"] == digest(items or {}) else "its items changed"

    def is_complete(self, items: Mapping[str, str] | None = None) -> bool:
        """Whether the marker is valid for these items."""
        return self.problem(items) is None

    def discard_damaged(self) -> list[str]:
        """If a file is not as the marker says, delete the marker and all files that it lists, so that they are made again.

        Returns:
            one line for each damaged file.
        """
        marker = _read(self.path / MARKER)
        damaged = self._damaged(marker) if marker is not None else []
        if marker is not None and damaged:
            (self.path / MARKER).unlink()
            for name in marker["files"]:
                if name != PARTS:
                    (self.path / name).unlink(missing_ok=True)
            for folder, _, _ in os.walk(self.path, topdown=False):
                with contextlib.suppress(OSError):  # it holds other files
                    os.rmdir(folder)
        return [problem for _, problem in damaged]

    def _damaged(self, marker: Mapping[str, Any]) -> list[tuple[Path, str]]:
        found = []
        for name, size in marker["files"].items():
            file = self.path / name
            now = file.stat().st_size if file.is_file() else None
            if now is None:
                found.append((file, f"{file} is gone"))
            elif now != size:
                found.append((file, f"{file} has {now:,} bytes instead of {size:,}"))
        return found


def commit_dir(path: Path, info: Mapping[str, Any], files: Iterable[Path] | None = None) -> None:
    """Sync a stage directory and write its completion marker.

    A training commits its model with this function in the process that saved it, so that the model counts as done even if the
    driver dies.

    Args:
        path: a directory that `StageDir.create` made.
        info: what else the marker says.
        files: files that it vouches for; default: all below `path`.
    """
    sync_tree(path)
    chosen = sorted(files) if files is not None else sorted(p for p in path.rglob("*") if p.is_file())
    sizes = {
        p.relative_to(path).as_posix(): p.stat().st_size for p in chosen if p.name != MARKER and not _temporary(p)
    }
    marker = {"items": digest({}), **info, "files": sizes, "finished": datetime.now(UTC).isoformat(timespec="seconds")}
    write_bytes(path / MARKER, _pretty(marker), step="done")


def digest(items: Mapping[str, str]) -> str:
    """A short hash of named items."""
    return hashlib.sha256(canonical_json(dict(items)).encode()).hexdigest()[:16]


def claim_out(out: str | Path, name: str, config_file: str | Path) -> None:
    """Reserve the output directory for the run `name`.

    Raises:
        UserError: it belongs to another run, or it holds files that no run wrote.
    """
    out = Path(out)
    make_folder(out)
    present = sorted(p.name for p in out.iterdir() if not TEMP.fullmatch(p.name) and p.name != "lost+found")
    run = _read(out / "run.json")  # after the listing: a run that claims the directory now writes this file first
    if run is None and present:
        problem = f"the folder {out} holds {present[0]}, which no run of xner wrote"
        raise UserError(problem, file=config_file, key="out", remedy="choose a new folder with out=...")
    if run is None:
        record = _pretty({"name": name, "config": str(config_file)})
        write_bytes(out / "run.json", record, step="run", if_absent=True)
        run = _read(out / "run.json") or {}
    if run.get("name") != name:
        problem = f"the folder {out} belongs to the run {run.get('name')!r}, not to {name!r}"
        raise UserError(problem, file=config_file, key="out", remedy=f"choose another with out=... or delete {out}")


def _temporary(path: Path) -> bool:
    return bool(TEMP.fullmatch(path.name))


def _pretty(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(json.loads(canonical_json(dict(value))), indent=2, sort_keys=True) + "\n").encode()


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object; None if there is no such file."""
    try:
        value = json.loads(path.read_bytes())
        if not isinstance(value, dict):
            raise ValueError("it holds no JSON object")
        return value
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise UserError(f"is corrupt: {e}", file=path, remedy=f"delete {path.parent} and run again") from e
