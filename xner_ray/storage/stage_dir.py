"""Folders that never mix: out/<stage>/<fingerprint> for each stage, and one run name for each out.

The price is disk: the results of an older config stay until someone deletes them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from xner_ray.errors import UserError
from xner_ray.storage.atomic import TEMP, explained, make_folder, sync_tree, write_bytes
from xner_ray.storage.fingerprint import canonical_json, describe_change, fingerprint


@dataclass(frozen=True)
class StageDir:
    """One stage's results for one fingerprint: `path` is out/<stage>/<fingerprint>, `parts` what that is of.

    `changed_from` is the folder used last, where this one is new and another is not.
    """

    path: Path
    parts: dict[str, Any]
    changed_from: Path | None = None

    @property
    def info(self) -> dict[str, Any] | None:
        """What `mark_done` was given; None while the stage is not done."""
        return _read(self.path / "done.json")

    @property
    def is_done(self) -> bool:
        return self.info is not None

    def mark_done(self, info: Mapping[str, Any] | None = None) -> None:
        """Mark the stage as finished; all in the folder is on the disk before the marker is."""
        sync_tree(self.path)
        write_bytes(self.path / "done.json", _pretty(info or {}), step="done")

    def changes(self) -> list[str]:
        """What differs from `changed_from`, one line a key; empty where there is none."""
        return describe_change(_read(self.changed_from / "parts.json") or {}, self.parts) if self.changed_from else []


def open_stage(out: str | Path, stage: str, parts: Mapping[str, Any]) -> StageDir:
    """Open, or make, a stage's folder for these parts. Raises: UserError where it cannot be, or holds other parts."""
    path, plain = Path(out) / stage / fingerprint(parts), json.loads(canonical_json(dict(parts)))
    new = write_bytes(path / "parts.json", _pretty(parts), if_absent=True)
    if _read(path / "parts.json") != plain:
        raise UserError("not the parts of this folder's name", file=path / "parts.json", remedy=f"delete {path}")
    others = [p for p in path.parent.glob("*/parts.json") if p.parent != path] if new else []
    last = max(others, key=lambda p: (p.stat().st_mtime_ns, p), default=None)
    with explained(path):
        os.utime(path / "parts.json")  # the newest shall be the one used last, not the one made last
    return StageDir(path, plain, last.parent if last else None)


def claim_out(out: str | Path, name: str, config_file: str | Path) -> None:
    """Make `out` the folder of the run `name`, or see that it is.

    Raises: UserError where it belongs to another run, or holds files that no run wrote.
    """
    out = Path(out)
    make_folder(out)
    held = sorted(p.name for p in out.iterdir() if not TEMP.fullmatch(p.name) and p.name != "lost+found")
    run = _read(out / "run.json")  # after the listing: whoever claims the folder now writes this file first
    if run is None and held:
        problem = f"the folder {out} holds {held[0]}, which no run of ours wrote"
        raise UserError(problem, file=config_file, key="out", remedy="choose a new folder with out=...")
    if run is None:
        write_bytes(out / "run.json", _pretty({"name": name, "config": str(config_file)}), if_absent=True)
        run = _read(out / "run.json") or {}
    if run.get("name") != name:
        problem = f"the folder {out} belongs to the run {run.get('name')!r}, not to {name!r}"
        raise UserError(problem, file=config_file, key="out", remedy=f"choose another with out=... or delete {out}")


def _pretty(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(json.loads(canonical_json(dict(value))), indent=2, sort_keys=True) + "\n").encode()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return TypeAdapter(dict[str, Any]).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as e:
        problem = f"is corrupt: {e.errors()[0]['msg']}"
        raise UserError(problem, file=path, remedy=f"delete {path.parent} and run again") from e
