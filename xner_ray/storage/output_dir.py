"""The output directory of a run: `run.json` names the run that it belongs to, and the format of its files."""

from __future__ import annotations

import json
from pathlib import Path

from xner_ray.errors import UserError
from xner_ray.storage.atomic import TEMP, make_folder, write_bytes
from xner_ray.storage.stage_dir import pretty_json, read_json

RUN = "run.json"
FORMAT = 1  # raised if older output directories cannot be read; directories of the first version have no number


def claim_out(out: str | Path, name: str, config_file: str | Path) -> None:
    """Reserve the output directory for the run `name`.

    Raises:
        UserError: it belongs to another run, another version wrote it, or it holds files that no run wrote.
    """
    out = Path(out)
    make_folder(out)
    present = sorted(p.name for p in out.iterdir() if not TEMP.fullmatch(p.name) and p.name != "lost+found")
    run = read_json(out / RUN)  # after the listing: a run that claims the directory now writes this file first
    if run is None and present:
        problem = f"the folder {out} holds {present[0]}, which no run of xner wrote"
        raise UserError(problem, file=config_file, key="out", remedy="choose a new folder with out=...")
    if run is None:
        record = pretty_json({"name": name, "config": str(config_file), "format": FORMAT})
        write_bytes(out / RUN, record, step="run", if_absent=True)
    check_format(out, config_file)
    run = read_json(out / RUN) or {}
    if run.get("name") != name:
        problem = f"the folder {out} belongs to the run {run.get('name')!r}, not to {name!r}"
        raise UserError(problem, file=config_file, key="out", remedy=f"choose another with out=... or delete {out}")


def check_format(out: str | Path, file: str | Path | None = None) -> None:
    """Check that this version can read an output directory. A directory without `run.json` passes.

    Args:
        out: the directory.
        file: the config file, for the message; default: the directory.

    Raises:
        UserError: another version of xner wrote it.
    """
    run = read_json(Path(out) / RUN)
    if run is not None and run.get("format") != FORMAT:
        problem = f"another version of xner wrote the folder {out}"
        remedy = f"choose a new folder with out=..., or delete {out}; `xner run CONFIG` makes all results again"
        raise UserError(problem, file=file or out, key="out" if file else None, remedy=remedy)


def run_name(out: str | Path) -> str:
    """The name of the run that an output directory belongs to."""
    return json.loads((Path(out) / RUN).read_bytes())["name"]
